"""What does each neuron of an acoustic transformer listen for? Audio Network Dissection on nnsight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import nnsight_save
from ._facade import lazily

if TYPE_CHECKING:
    from .audio import AudioError as AudioError
    from .collect.remote import Remote as Remote
    from .collect.remote import RemoteRunError as RemoteRunError
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
nnsight_save.install()

_HOMES = {
    "AudioError": ".audio",
    "AudioModel": ".model",
    "ConceptError": ".concept_scores",
    "ConceptScores": ".concept_scores",
    "Dissection": ".dissection",
    "DissectionError": ".dissection",
    "ModelError": ".model",
    "Remote": ".collect.remote",
    "RemoteRunError": ".collect.remote",
    "Site": ".sites",
    "SiteError": ".sites",
    "dissect": ".run",
}
__all__ = [
    "AudioError",
    "AudioModel",
    "ConceptError",
    "ConceptScores",
    "Dissection",
    "DissectionError",
    "ModelError",
    "Remote",
    "RemoteRunError",
    "Site",
    "SiteError",
    "dissect",
]

__getattr__, __dir__ = lazily(__name__, _HOMES)
