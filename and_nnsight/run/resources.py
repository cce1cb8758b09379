"""What a run will take of memory and disk: known before it starts, and refused where there clearly is not enough."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import torch
from rich.filesize import decimal as readable

from ..audio.flac import MOST_BYTES_A_SAMPLE
from ..dissection.dissection import activation_file
from ..statistics.concept_scores import ConceptScores
from ..statistics.concepts import ConceptAccumulator
from ..statistics.frame_concepts import FrameConcepts
from ..wording import counted
from .session import CollectionPlan
from .sounds import SoundChoice

_WORTH_SAYING = 10**9
_BYTES_A_PLACE = 16  # a value, a clip and a frame


def check_resources(plan: CollectionPlan, folder: Path, clips: int | None) -> list[str]:
    """What the run will take, a line each for what is worth knowing; `clips` is how many there are, None if not known.

    Raises ValueError if there clearly is not enough.
    """
    lines = [memory_for_exemplars(plan.k, plan.units, plan.device)]
    if plan.scores is not None:
        lines.append(_memory_for_scores(plan.units, plan.scores, plan.device))
    if plan.annotations is not None:
        needed = FrameConcepts.bytes_needed(plan.units, plan.annotations)
        lines.append(memory_for_concepts(needed, plan.units, len(plan.annotations.names), plan.device))
    if plan.keep_activations:
        lines.append(_disk_for_activations(plan, folder, clips))
    if plan.sounds is not None:
        lines.append(_disk_for_sounds(plan, plan.sounds, folder, clips))
    return [line for line in lines if line]


def _disk_for_activations(plan: CollectionPlan, folder: Path, clips: int | None) -> str:
    files = [activation_file(folder, site) for site in plan.widths]
    already = sum(path.stat().st_size for path in files if path.exists())
    needed = None if clips is None else 4 * plan.units * clips
    return disk_for_activations(needed, already, plan.units, folder)


def _disk_for_sounds(plan: CollectionPlan, choice: SoundChoice, folder: Path, clips: int | None) -> str:
    """A line on what sounds of exemplars take. Raises ValueError if the disk clearly has not the room."""
    most = choice.most_clips(plan.units, plan.k)
    most = most if clips is None else min(most, clips)
    second = MOST_BYTES_A_SAMPLE * choice.rate
    each = f"up to {readable(second)} a second"
    if plan.window_seconds is not None:
        needed, free = int(most * second * plan.window_seconds), _free(folder)
        each = f"up to {readable(needed)}"
        if clips is not None and needed > free and choice.units is not None:
            raise ValueError(
                f"the sounds of {counted(most, 'clip')} take up to {readable(needed)}, and {folder} has "
                f"{readable(free)} left: keep the exemplars of fewer units"
            )
    return f"will keep the sound of at most {counted(most, 'clip')} ({each}) in {folder / 'exemplars'}"


def _free(folder: Path) -> int:
    """Bytes that are left on the disk of a folder that need not exist yet."""
    parent = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(parent).free


def _memory_for_scores(units: int, scores: ConceptScores, device: torch.device) -> str | None:
    return memory_for_concepts(ConceptAccumulator.bytes_needed(units, scores), units, len(scores.names), device)


def memory_for_concepts(needed: int, units: int, concepts: int, device: torch.device) -> str | None:
    """A line on the memory that comparing units with concepts takes, if it is above 1 GB.

    Raises ValueError if it is more than the machine (or, of a GPU, what is free there) has.
    """
    what = f"comparing {counted(units, 'unit')} with {counted(concepts, 'concept')} takes {readable(needed)} of memory"
    there = _memory(device)
    if needed > there:
        raise ValueError(f"{what}, and there is {readable(there)}: take fewer sites or fewer concepts")
    if device.type == "cpu" and 2 * needed > there:
        raise ValueError(
            f"{what}, and as much again while a checkpoint is written; there is {readable(there)}: take fewer sites or "
            "fewer concepts"
        )
    again = f"{what} on {device}, and as much again on the CPU while a checkpoint is written"
    return again if needed > _WORTH_SAYING else None


def memory_for_exemplars(k: int, units: int, device: torch.device) -> str | None:
    """A line on the memory that the K highest and lowest clips of every unit take, if it is above 1 GB.

    Raises ValueError if it is more than the machine (or, of a GPU, what is free there) has.
    """
    needed = 2 * 2 * _BYTES_A_PLACE * k * units  # either end, and a copy while a batch is taken in
    what = f"keeping {counted(k, 'clip')} at either end of {counted(units, 'unit')} takes {readable(needed)} of memory"
    there = _memory(device)
    if needed > there:
        raise ValueError(f"{what}, and there is {readable(there)}: take a smaller k or fewer sites")
    return f"{what} on {device}" if needed > _WORTH_SAYING else None


def disk_for_activations(needed: int | None, there_already: int, units: int, folder: Path) -> str:
    """A line on what keeping activations writes. Raises ValueError if the disk clearly has not the room.

    needed: bytes; None where only reading the data tells.
    """
    target = folder / "activations"
    if needed is None:
        return f"will write {readable(4 * units)} a clip to {target}; how many clips there are is not known"
    free = _free(folder)
    if needed - there_already > free:
        raise ValueError(
            f"keeping the activations of {counted(units, 'unit')} takes {readable(needed)}, and {folder} has "
            f"{readable(free)} left: take fewer sites or clips, or leave keep_activations out"
        )
    return f"will write about {readable(needed)} to {target}"


def _memory(device: torch.device) -> int:
    """Bytes: of a GPU what is free there, else what the machine has."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().total
