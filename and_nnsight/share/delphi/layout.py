"""Where in an export for delphi which file lies: its own names, and one file of ours."""

from __future__ import annotations

from pathlib import Path

from ...dissection.files import site_file


def module_name(site: str) -> str:
    """What delphi calls a site: a folder's name, so it is as safe for file systems as ours."""
    return site_file(Path(), site).name.removesuffix(".safetensors")


def latents_folder(folder: Path) -> Path:
    """What delphi's `LatentDataset` reads: a folder a module, and nothing else."""
    return folder / "latents"


def split_file(folder: Path, site: str, units: range) -> Path:
    """The cache of some units of a site; delphi's names have the first and the last."""
    return latents_folder(folder) / module_name(site) / f"{units.start}_{units.stop - 1}.safetensors"


def explanations_folder(folder: Path) -> Path:
    """A text a unit, as JSON."""
    return folder / "explanations"


def explanation_file(folder: Path, site: str, unit: int) -> Path:
    """The explanation of a unit."""
    return explanations_folder(folder) / f"{module_name(site)}_latent{unit}.txt"


def contexts_file(folder: Path) -> Path:
    """Which clip each row of tokens is, and which text each token: what `ClipTokenizer` reads."""
    return folder / "contexts.json"
