"""How many actors there are, and whether the cluster has the room: an actor that does not fit would wait for ever."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ActorPlan:
    """The actors of a run.

    models    those that run the model, a CPU and `gpus` GPUs each
    decoders  those that decode for each of these, a CPU each; 0: it decodes itself
    shards    parts of the data, which are handed out one after another
    """

    models: int
    decoders: int
    shards: int
    gpus: int

    @classmethod
    def of(cls, resources: Mapping[str, float], models: int | None, decoders: int, shards: int | None) -> ActorPlan:
        """What was asked for, or what the cluster has room for; a GPU each where it has any.

        Raises ValueError for numbers that make no sense, and for more actors than there is room for.
        """
        cpus, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
        _check(models, decoders, shards)
        fitting = max(1, min(cpus // (1 + decoders), gpus or cpus))
        count = fitting if models is None else models
        plan = cls(count, decoders, max(2, 4 * count) if shards is None else shards, 1 if gpus else 0)
        plan.check_fits(cpus, gpus)
        return plan

    def check_fits(self, cpus: int, gpus: int) -> None:
        """Raise ValueError where the cluster has not the CPUs, or the GPUs."""
        needed = self.models * (1 + self.decoders)
        if needed > cpus:
            raise ValueError(
                f"{self.models} model actors with {self.decoders} decoding actors each take {needed} CPUs, and the Ray "
                f"cluster has {cpus}: ask for fewer, or decode_actors=0, which lets the model actors decode themselves"
            )
        if self.models * self.gpus > gpus:
            raise ValueError(
                f"{self.models} model actors take {self.models * self.gpus} GPUs, and the Ray cluster has {gpus}: ask "
                f"for model_actors={gpus}"
            )


def _check(models: int | None, decoders: int, shards: int | None) -> None:
    for name, value, least in (("model_actors", models, 1), ("decode_actors", decoders, 0), ("shards", shards, 2)):
        if value is not None and value < least:
            raise ValueError(f"{name} must be at least {least}, it is {value}")
