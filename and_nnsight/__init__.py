"""What does each neuron of an acoustic transformer listen for? Audio Network Dissection on nnsight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .audio import AudioError as AudioError
    from .concept_scores import ConceptError as ConceptError
    from .concept_scores import ConceptScores as ConceptScores
    from .dissection import Dissection as Dissection
    from .dissection import DissectionError as DissectionError
    from .model import AudioModel as AudioModel
    from .model import ModelError as ModelError
    from .run import dissect as dissect
    from .sites import Site as Site
    from .sites import SiteError as SiteError

__version__ = "0.1.0"

_HOMES = {
    "AudioError": "audio",
    "AudioModel": "model",
    "ConceptError": "concept_scores",
    "ConceptScores": "concept_scores",
    "Dissection": "dissection",
    "DissectionError": "dissection",
    "ModelError": "model",
    "Site": "sites",
    "SiteError": "sites",
    "dissect": "run",
}
__all__ = [
    "AudioError",
    "AudioModel",
    "ConceptError",
    "ConceptScores",
    "Dissection",
    "DissectionError",
    "ModelError",
    "Site",
    "SiteError",
    "dissect",
]


def __getattr__(name: str) -> Any:
    """Import on first use: `import and_nnsight` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
