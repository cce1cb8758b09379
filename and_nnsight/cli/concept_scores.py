"""`concept-scores`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..wording import agree, command, counted
from ._option_groups import with_option_groups
from ._options import CONCEPTS_HELP, AudioTextEncoder, Data, DataArguments, Device, QuietSteps, Softmax
from ._output import plain, quiet_transformers, resumable

if TYPE_CHECKING:
    from ..statistics.concept_scores import ConceptScores


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("concept-scores")(concept_scores)


@dataclass(frozen=True, kw_only=True)
class ScoringArguments:
    """How clips are scored for concepts."""

    method: Annotated[str, typer.Option(help="db: captions; tab: sounds; labels: labels.")] = "db"
    text_encoder: Annotated[str, typer.Option(help="db: words, sentence-transformers:REPO …")] = "words"
    audio_text_encoder: AudioTextEncoder = None
    softmax: Softmax = 30.0
    captions: Annotated[
        Path | None, typer.Option(help="db: Parquet file with the columns clip and caption. Default: the data's own.")
    ] = None

    def keywords(self) -> dict[str, Any]:
        """What `score_concepts` takes them as."""
        return vars(self) | {"softmax": self.softmax or None}


@with_option_groups
def concept_scores(
    data: Data,
    concepts: Annotated[str, typer.Option(help=CONCEPTS_HELP)],
    out: Annotated[Path, typer.Option(help="File to write: FILE.safetensors.")],
    scoring: ScoringArguments,
    columns: DataArguments,
    batch_size: Annotated[int, typer.Option(help="Clips or texts a batch.", min=1)] = 16,
    device: Device = None,
    quiet: QuietSteps = False,
) -> None:
    """Score every clip for every concept, for `dissect --concepts` to compare units with."""
    from ..explain.labels.concept_scores import score_concepts

    if out.suffix != ".safetensors":
        raise ValueError(f"scores are written as safetensors: let the name {str(out)!r} end in .safetensors")
    quiet_transformers()
    with resumable("nothing was written"):
        scores = score_concepts(
            data, concepts, **scoring.keywords(), **vars(columns),
            batch_size=batch_size, device=device, progress=not quiet,
        )  # fmt: skip
    scores.save(out)
    print(f"{counted(len(scores.clips), 'clip')}, {counted(len(scores.names), 'concept')}: {out}")
    _print_best_clips(scores)
    print("next: " + command("dissect", "MODEL", data, "--out", "DIR", "--concepts", out))


def _print_best_clips(scores: ConceptScores) -> None:
    """For how many clips each concept is the closest: a list that does not suit the data shows here."""
    closest = Counter(scores.values.argmax(1).tolist())
    first = ", ".join(f"{plain(scores.names[place])} ({count:,})" for place, count in closest.most_common(5))
    rest = len(scores.names) - len(closest)
    print(f"closest to most clips: {first}; {counted(rest, 'concept')} {agree(rest, 'is', 'are')} closest to none")
