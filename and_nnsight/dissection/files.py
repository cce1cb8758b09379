"""Where in a dissection's folder which file lies.

Names of sites are made safe for file systems: `module:a/b` becomes `module%3Aa%2Fb`. Longer ones than these take, as of
a dictionary in a deep folder, end in a hash of the whole name.
"""

from __future__ import annotations

from pathlib import Path

from ..storage import short_hash

_LONGEST = 200  # bytes: file systems take 255, and a suffix and a temporary file's marks come on top


def site_file(folder: Path, site: str) -> Path:
    """A site's statistics."""
    return folder / "sites" / f"{_safe(site)}.safetensors"


def concept_file(folder: Path, site: str) -> Path:
    """How a site's units go with the concepts."""
    return folder / "concepts" / f"{_safe(site)}.safetensors"


def scores_file(folder: Path) -> Path:
    """The concepts' scores that units were compared with. (No site is named `scores`: names hold a dot.)"""
    return folder / "concepts" / "scores.safetensors"


def annotations_file(folder: Path) -> Path:
    """The annotations that units were compared with."""
    return folder / "concepts" / "frames" / "annotations.safetensors"


def annotation_file(folder: Path, site: str) -> Path:
    """How a site's units go with the annotations. (No site is named `annotations`: names hold a dot.)"""
    return folder / "concepts" / "frames" / f"{_safe(site)}.safetensors"


def activation_file(folder: Path, site: str) -> Path:
    """A site's pooled activations of every clip."""
    return folder / "activations" / f"{_safe(site)}.npy"


def shards_folder(folder: Path) -> Path:
    """Where the shards of a run are until they are merged."""
    return folder / "shards"


def sums_file(folder: Path) -> Path:
    """What a shard has that is no result yet: the sums of which, with those of the other shards, results are made."""
    return folder / "sums.safetensors"


def sounds_folder(folder: Path) -> Path:
    """Where the sounds of exemplars are."""
    return folder / "exemplars" / "sounds"


def sound_file(folder: Path, clip: int) -> Path:
    """The sound of a clip, as the model hears it."""
    return sounds_folder(folder) / f"{clip}.flac"


def curves_folder(folder: Path) -> Path:
    """Where the activations of units over time are."""
    return folder / "exemplars" / "curves"


def curves_file(folder: Path, clip: int) -> Path:
    """Units' activations over the time of a clip."""
    return curves_folder(folder) / f"{clip}.safetensors"


def map_file(folder: Path, site: str, unit: int, clip: int) -> Path:
    """What of a clip a unit needs."""
    return folder / "exemplars" / "maps" / _safe(site) / f"{unit} {clip}.safetensors"


def _safe(site: str) -> str:
    safe = "".join(char if char.isalnum() or char in "._-" else f"%{ord(char):02X}" for char in site)
    whole = safe.encode()
    if len(whole) <= _LONGEST:
        return safe
    return f"{whole[: _LONGEST - 40].decode(errors='ignore')}%{short_hash(site, 16)}"
