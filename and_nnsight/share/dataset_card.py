"""The card of a dissection on the hub: README.md, with what the hub reads of it in front."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import __version__
from ..dissection.dissection import Dissection
from ..dissection.hub import FOLDER
from ..explain.records.reading import table_settings
from ..redaction import without_control_characters, without_credentials
from ..wording import agree, counted
from .unit_row import UnitRow

_MARKDOWN = re.compile(
    r"([\\`*_{}\[\]()#!|~$@]|(?<=www)\.|:(?=//)|^[-+=])"
)  # what means something within a line, or begins one
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LONGEST, _MOST_SITES = 300, 12
_TAGS = ["audio", "interpretability", "network-dissection", "and-nnsight"]
_NAMED_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]*")
_ABOUT = {
    "units": "a row a unit: statistics, best clip, explanation, label, verdicts",
    "exemplars": "a row a place in a unit's lists of clips",
    "clips": "a row a clip that was seen",
    "captions": "what was said of clips, or of stretches of them",
    "summaries": "what the highly and the lowly clips of a unit have in common",
    "calibrated": "what is left of a summary without what is also true of the lowly clips",
    "concepts": "the words of a unit's calibrated summary",
    "words": "which adjectives describe sound",
    "labels": "concepts out of a list that a unit goes with",
    "scores": "how claims did on clips that they were not made of",
    "listening": "how claims did with who listened to the clips",
    "effects": "what happens to the model without the unit",
    "acoustics": "what was measured of clips",
    "requests": "conversations with the chat model",
}


@dataclass(frozen=True)
class SoundCounts:
    """What can be heard in a dataset.

    clips    in the column `audio`, for so many `units`
    kept     clips whose sounds the dissection itself holds
    reports  whether there are reports, which have sounds within
    """

    clips: int
    units: int
    kept: int
    reports: bool


def dataset_card(
    dissection: Dissection,
    rows: Mapping[str, int],
    best: Sequence[UnitRow],
    *,
    sounds: SoundCounts,
    license: str | None,
    name: str | None,
) -> str:
    """The card. All text that comes from models and data is escaped.

    rows     of each configuration
    best     the units that it shows
    sounds   what can be heard
    license  of the data, as whoever shares it says; name of the repository; None: not known
    """
    manifest = dissection.manifest
    model, data = markdown(manifest.model.id or "a model"), markdown(manifest.dataset.name or "data in memory")
    parts = [
        _front(dissection, rows, license, "exemplars" if sounds.clips else "units"),
        f"# What neurons of {model} listen for\n",
        f"A dissection of {counted(sum(dissection.widths().values()), 'unit')} of the audio model {model} over "
        f"{counted(manifest.clips, 'clip')} of {data}: for each unit the clips that it responds to most and least, "
        f"{'with their sounds, ' if sounds.clips else ''}its statistics, and what has been said of it. Made with "
        "[and-nnsight](https://github.com/and-nnsight/and_nnsight), after *AND: Audio Network Dissection for "
        "Interpreting Deep Acoustic Models* (ICML 2024, [arXiv:2406.16990](https://arxiv.org/abs/2406.16990)).\n",
        _table(("", ""), _facts(dissection, license)),
        "## Sounds\n",
        _sounds(data, sounds, license),
        "## What is in it\n",
        _table(("configuration", "rows", ""), ((key, f"{rows[key]:,}", _about(key, sounds)) for key in rows)),
        f"The folder `{FOLDER}/` is the dissection itself. Columns: "
        "[tables](https://github.com/and-nnsight/and_nnsight/blob/main/docs/tables.md), "
        "[the folder](https://github.com/and-nnsight/and_nnsight/blob/main/docs/format.md).\n",
        _how_to_read(name, sounds.clips),
    ]
    if best:
        parts += ["## Some units\n", _table(("unit", "selectivity", "what is said of it"), map(_unit, best))]
    parts += ["## How it was made\n", *_steps(dissection), "## Limits\n", *_limits(dissection, best)]
    return "\n".join(parts)


def _about(key: str, sounds: SoundCounts) -> str:
    about = _ABOUT.get(key, "")
    return f"{about}; those that can be heard come first" if key == "exemplars" and sounds.clips else about


def markdown(text: object) -> str:
    """Text on one line that says in Markdown and HTML what it says, and commands nothing."""
    plain = without_credentials(" ".join(without_control_characters(str(text)).split()))
    plain = plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 1]}…"
    escaped = _MARKDOWN.sub(r"\\\1", plain)
    return re.sub("[&<>]", lambda found: _HTML[found[0]], escaped)


def _front(dissection: Dissection, rows: Mapping[str, int], license: str | None, first: str) -> str:
    """What the hub reads of the card: YAML, written by its own library."""
    from huggingface_hub import DatasetCardData

    manifest = dissection.manifest
    title = without_control_characters(f"Neurons of {manifest.model.id} on {manifest.dataset.name}")[:_LONGEST]
    title = title.encode("utf-8", "replace").decode("utf-8")
    configs = [
        {"config_name": key, "data_files": [{"split": "train", "path": f"data/{key}/*.parquet"}]}
        | ({"default": True} if key == first else {})
        for key in rows
    ]
    named = _license_entries((license or "").strip())
    front = DatasetCardData(pretty_name=title, tags=_TAGS, **named, configs=configs)
    return f"---\n{front.to_yaml()}\n---\n"


def _license_entries(license: str) -> dict[str, Any]:
    if not license:
        return {}
    lower = license.lower()
    if _NAMED_LICENSE.fullmatch(lower):
        return {"license": lower}
    name = re.sub(r"[^a-z0-9.]+", "-", lower).strip("-") or "other"
    return {"license": "other", "license_name": name[:80]}


def _facts(dissection: Dissection, license: str | None) -> Iterator[tuple[str, str]]:
    manifest = dissection.manifest
    model, dataset = manifest.model, manifest.dataset
    revision = f", revision {markdown(model.revision)}" if model.revision else ""
    part = f", its part {markdown(model.part)}" if model.part else ""
    yield "model", f"{markdown(model.id)}{revision}{part} ({markdown(model.class_name)})"
    yield "weights", f"hash {markdown(model.weights or 'not known')}"
    split = f", split {markdown(dataset.split)}" if dataset.split else ""
    yield "data", f"{markdown(dataset.name)}{split}: {counted(manifest.clips, 'clip')} ({markdown(dataset.kind)})"
    yield "licence of the data", markdown(license) if license else "not stated by whoever shared this"
    for site in manifest.sites[:_MOST_SITES]:
        yield (
            f"site {markdown(site.name)}",
            f"{counted(site.width, 'unit')}, {markdown(site.side)} of {markdown(site.path)}",
        )
    more = len(manifest.sites) - _MOST_SITES
    if more > 0:
        yield f"and {counted(more, 'site')} more", f"see `{FOLDER}/manifest.json`"
    yield "clips a unit", f"{manifest.k} at either end, a clip's frames pooled by {markdown(manifest.pool)}"
    yield "arithmetic", markdown(manifest.dtype)
    yield "versions", markdown(", ".join(f"{name} {version}" for name, version in manifest.versions.items()))


def _sounds(data: str, sounds: SoundCounts, license: str | None) -> str:
    said = []
    if sounds.clips:
        said.append(
            f"{counted(sounds.clips, 'clip')} of {data} can be heard: the first exemplars that are evidence of "
            f"{counted(sounds.units, 'unit')}, mono, 16 bits, as FLAC in the column `audio`, at most 30 s around the "
            "moment at which the unit fires (from second `audio_start` of the clip on)."
        )
    if sounds.kept:
        said.append(f"`{FOLDER}/exemplars/sounds/` holds {counted(sounds.kept, 'clip')} as the model hears them.")
    if sounds.reports:
        said.append(f"Reports in `{FOLDER}/` have sounds within.")
    if not said:
        return f"None: those of {data} are not handed on here, and stay with whoever has them.\n"
    said.append(
        f"Whoever holds the rights in {data} rules what may be done with them; whoever shared this says that its "
        f"licence is {markdown(license)}."
    )
    return " ".join(said) + "\n"


def _how_to_read(name: str | None, clips: int) -> str:
    place = name or "PATH/OF/THIS/FOLDER"
    whole = f"hf://datasets/{name}" if name else f"PATH/OF/THIS/FOLDER/{FOLDER}"
    playing = "  # its column audio plays" if clips else ""
    return (
        "```python\n"
        "from datasets import load_dataset\n\n"
        f'units = load_dataset("{place}", "units", split="train")\n'
        f'exemplars = load_dataset("{place}", "exemplars", split="train", streaming=True){playing}\n'
        "```\n\n"
        "```python\n"
        "from and_nnsight import Dissection\n\n"
        f'dissection = Dissection.load("{whole}")\n'
        "print(dissection.best(5).to_pandas())\n"
        "```\n"
    )


def _unit(row: UnitRow) -> tuple[str, str, str]:
    told = row.explanation or row.label
    if told is None and row.common_label is not None:
        told = f"{row.common_count} of {row.evidence} clips: {row.common_label}"
    verdict = row.explanation_verdict if row.explanation else row.label_verdict
    standing = f" ({markdown(verdict)})" if verdict else ""
    return f"{markdown(row.site)} {row.unit}", f"{row.selectivity:.2f}", f"{markdown(told or '')}{standing}"


def _steps(dissection: Dissection) -> Iterator[str]:
    manifest = dissection.manifest
    yield (
        f"- `dissect`: the model heard every clip; each unit's activation was pooled over the frames of the clip "
        f"({markdown(manifest.pool)}), and the {manifest.k} highest and lowest clips were kept."
    )
    for step in ("captions", "summaries", "calibrated", "labels", "scores", "listening"):
        settings = table_settings(dissection, step)
        chosen = {key: value for key, value in settings.items() if isinstance(value, (str, int, float))}
        if settings:
            listed = ", ".join(f"{markdown(key)} {markdown(value)}" for key, value in chosen.items())
            yield f"- {step}: {listed or 'as set down in the table itself'}."
    yield f"- shared with and-nnsight {__version__}.\n"


def _limits(dissection: Dissection, best: Sequence[UnitRow]) -> Iterator[str]:
    manifest = dissection.manifest
    yield (
        "- Which clips a unit responds to most is seen on these clips only: of sounds that are not among them it says "
        "nothing."
    )
    if any(row.explanation or row.label for row in best):
        judged = any(row.explanation_verdict or row.label_verdict for row in best)
        yield (
            "- Explanations and labels are claims. Where `explanation_holds` is true they told the unit's clips on "
            "other clips, beyond loudness, duration, silence and brightness."
            if judged
            else "- Explanations and labels are claims that were not put to the test on other clips."
        )
    if manifest.model.id and "/" not in manifest.model.id:
        yield "- The model is named as it was on the machine of whoever made this; the hash of its weights tells which."
    counts = {"quarantined": "could not be read", "truncated": "were heard up to the model's window only",
              "silent": "are silent", "copies": "are copies of others"}  # fmt: skip
    for key, what in counts.items():
        count = getattr(manifest, key)
        if count:
            yield f"- {counted(count, 'clip')} {agree(count, what.replace('were', 'was').replace('are', 'is'), what)}."
    yield ""


def _table(head: Sequence[str], rows: Any) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"
