"""What does each neuron of an acoustic transformer listen for? Audio Network Dissection on nnsight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import nnsight_save
from ._facade import lazily

if TYPE_CHECKING:
    from .audio.loading import AudioError as AudioError
    from .dissection.dissection import Dissection as Dissection
    from .dissection.errors import DissectionError as DissectionError
    from .model.audio_model import AudioModel as AudioModel
    from .model.audio_model import ModelError as ModelError
    from .remote import Remote as Remote
    from .remote import RemoteRunError as RemoteRunError
    from .run.dissect import dissect as dissect
    from .sites.site import Site as Site
    from .sites.site import SiteError as SiteError
    from .statistics.concept_scores import ConceptError as ConceptError
    from .statistics.concept_scores import ConceptScores as ConceptScores

__version__ = "0.1.0"
nnsight_save.install()

_HOMES = {
    "AudioError": ".audio.errors",
    "AudioModel": ".model.audio_model",
    "ConceptError": ".statistics.concept_scores",
    "ConceptScores": ".statistics.concept_scores",
    "Dissection": ".dissection.dissection",
    "DissectionError": ".dissection.errors",
    "ModelError": ".model.audio_model",
    "Remote": ".remote",
    "RemoteRunError": ".remote",
    "Site": ".sites.site",
    "SiteError": ".sites.site",
    "dissect": ".run.dissect",
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
