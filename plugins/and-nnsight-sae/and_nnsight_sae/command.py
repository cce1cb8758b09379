"""`and-nnsight train-sae`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from and_nnsight.cli._option_groups import with_option_groups
from and_nnsight.cli._options import AudioDataArguments, BatchSize, Data, LoaderArguments, Model, Quiet
from and_nnsight.cli._output import quiet_transformers, resumable
from and_nnsight.wording import command


@dataclass(frozen=True, kw_only=True)
class DictionaryArguments:
    """What the dictionary is to be."""

    architecture: Annotated[
        str,
        typer.Option(help="topk: k latents a frame; batchtopk: on average; jumprelu: a threshold a latent, towards k."),
    ] = "topk"
    k: Annotated[int, typer.Option("-k", help="Latents that are active in a frame.")] = 32


@dataclass(frozen=True, kw_only=True)
class TrainingArguments:
    """How it is trained."""

    steps: Annotated[int, typer.Option(help="Steps of training.")] = 1000
    frames_a_step: Annotated[int, typer.Option(help="Frames a step.")] = 512
    learning_rate: Annotated[float, typer.Option(help="Of Adam.")] = 1e-3
    dead_steps: Annotated[int, typer.Option(help="Steps without firing after which a latent counts as dead.")] = 20
    revival: Annotated[float, typer.Option(help="Weight of the loss that brings dead latents back.")] = 1.0
    seed: Annotated[int, typer.Option(help="Of first weights, order and what is held out.")] = 0


@dataclass(frozen=True, kw_only=True)
class FrameArguments:
    """The frames it is trained on."""

    held_out: Annotated[float, typer.Option(help="Share of the clips that only the report is measured on.")] = 0.1
    frames: Annotated[
        Path | None, typer.Option(help="Keep the frames in this folder, for further trainings on the same ones.")
    ] = None
    frame_gib: Annotated[float, typer.Option(help="GiB of frames at most; of more, a uniform sample.")] = 4.0
    batch_size: BatchSize = 8


@with_option_groups
def train_sae(
    model: Model,
    data: Data,
    site: Annotated[str, typer.Option(help="One site, for example blocks.2.hook_resid_post.")],
    width: Annotated[int, typer.Option(help="Latents.")],
    out: Annotated[Path, typer.Option(help="Folder of the dictionary. The same command goes on with it.")],
    dictionary: DictionaryArguments,
    training: TrainingArguments,
    frames: FrameArguments,
    columns: AudioDataArguments,
    loader: LoaderArguments,
    quiet: Quiet = False,
) -> None:
    """Train a sparse autoencoder on a site's frames, with SAELens; SITE|sae:OUT then names its latents."""
    from . import train_sae as run

    quiet_transformers()
    of_frames = dict(vars(frames))
    frame_bytes = int(of_frames.pop("frame_gib") * 2**30)
    with resumable():
        trained = run(
            model, data, site=site, width=width, out=out, **vars(dictionary), **vars(training), **of_frames,
            frame_bytes=frame_bytes, **vars(columns), **vars(loader), progress=not quiet,
        )  # fmt: skip
    print(trained)
    print("dissect it: " + command("dissect", model, data, "--sites", trained.latents, "--out", "DIR"))
