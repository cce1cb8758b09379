# The public names of the package, once: `__init__.py` imports each on first use (SPEC 1), type checkers read this.
from .audio.errors import AudioError as AudioError
from .comparison.comparing import compare as compare
from .comparison.result import Comparison as Comparison
from .dissection.dissection import Dissection as Dissection
from .dissection.errors import DissectionError as DissectionError
from .dissection.firing import best_units as best_units
from .dissection.firing import fires_on as fires_on
from .maps.errors import MapError as MapError
from .maps.hearing import hear as hear
from .maps.listenable_map import ListenableMap as ListenableMap
from .model.audio_model import AudioModel as AudioModel
from .model.checkpoint import ModelError as ModelError
from .plugins import PluginError as PluginError
from .remote import Remote as Remote
from .remote import RemoteRunError as RemoteRunError
from .run.annotations import read_annotations as read_annotations
from .run.dissect import dissect as dissect
from .run.exemplars import keep_exemplars as keep_exemplars
from .run.merge import merge as merge
from .sites.site import Site as Site
from .sites.site import SiteError as SiteError
from .speech.annotations import Annotation as Annotation
from .speech.annotations import Annotations as Annotations
from .speech.errors import AnnotationError as AnnotationError
from .statistics.concept_scores import ConceptError as ConceptError
from .statistics.concept_scores import ConceptScores as ConceptScores

__version__: str
