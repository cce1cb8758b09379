"""Arguments and options that several commands share, each declared once; groups are named as the objects they fill.

A group's fields are keywords of the public calls, so that a command passes it on as `**vars(group)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str, typer.Argument(help="Hub id, local folder, or PLUGIN:ARGUMENT.")]
Part = Annotated[
    str | None, typer.Option(help="Which part of a composite model; and-nnsight sites lists them. Default: what hears.")
]
Data = Annotated[str, typer.Argument(help="Folder of audio (metadata.csv or .jsonl optional), or hub dataset id.")]
DissectionFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a dissection.")]
ExplainedFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a dissection that has been explained.")]

Sites = Annotated[list[str] | None, typer.Option(help="A site's name, glob or preset. Repeatable. Default: all.")]
Units = Annotated[str | None, typer.Option(help="Indices: 5, 0:100, or 3,7,20:30. Default: all.")]

Split = Annotated[str | None, typer.Option(help="Split of a dataset.")]
AudioColumn = Annotated[str, typer.Option(help="Column that holds the audio.")]
LabelColumn = Annotated[str | None, typer.Option(help="Column that holds the label.")]
CaptionColumn = Annotated[str | None, typer.Option(help="Column that holds the caption.")]
Limit = Annotated[int | None, typer.Option(help="At most so many clips.")]

BatchSize = Annotated[int, typer.Option(help="Clips a batch.", min=1)]
ConversationBatchSize = Annotated[int, typer.Option(help="Clips or conversations a batch.", min=1)]
NumWorkers = Annotated[int, typer.Option(help="Processes that decode and make features.")]
Device = Annotated[str | None, typer.Option(help="For example cpu or cuda; default: a GPU if there is one.")]
Dtype = Annotated[str | None, typer.Option(help="For example bfloat16; default: the checkpoint's.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]
QuietSteps = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

CONCEPTS_HELP = "A file (one a line), a list with commas, or labels: the data's own."
AudioTextEncoder = Annotated[str | None, typer.Option(help="tab: clap:REPO …")]
Softmax = Annotated[
    float, typer.Option(help="db: sharpness of the softmax over concepts; 0: the cosine itself.", min=0)
]


@dataclass(frozen=True, kw_only=True)
class DataArguments:
    """What of a dataset is read."""

    split: Split = None
    audio_column: AudioColumn = "audio"
    label_column: LabelColumn = None
    caption_column: CaptionColumn = None
    limit: Limit = None


@dataclass(frozen=True, kw_only=True)
class AudioDataArguments:
    """The same where neither labels nor captions are wanted."""

    split: Split = None
    audio_column: AudioColumn = "audio"
    limit: Limit = None


@dataclass(frozen=True, kw_only=True)
class LoaderArguments:
    """Processes that prepare clips, and where the model runs."""

    num_workers: NumWorkers = 0
    device: Device = None
    dtype: Dtype = None
