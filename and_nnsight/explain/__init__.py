"""From a unit's clips to words: captions, summaries, calibration, concepts, labels, search, scores.

Each step is a function over a `Dissection`; it writes one table in the folder's `explanations/`, goes on where it was
stopped, and does only what is missing. `explain` runs them all. Models stand behind plugins (`and_nnsight.plugins`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._facade import lazily

if TYPE_CHECKING:
    from ..plugins import PluginError as PluginError
    from .describe.calibration import calibrate as calibrate
    from .describe.captions import caption as caption
    from .describe.concepts import find_concepts as find_concepts
    from .describe.summaries import summarize as summarize
    from .evaluate.scoring import score as score
    from .evaluate.verdicts import Verdict as Verdict
    from .labels.concept_scores import score_concepts as score_concepts
    from .labels.label import label as label
    from .pipeline import explain as explain
    from .read.search import Match as Match
    from .read.search import search as search
    from .read.unit_card import Card as Card
    from .read.unit_card import card as card
    from .records.reading import read_table as read_table
    from .roles import AudioTextEncoder as AudioTextEncoder
    from .roles import CaptionedExemplar as CaptionedExemplar
    from .roles import Captioner as Captioner
    from .roles import ChatModel as ChatModel
    from .roles import ChatOptions as ChatOptions
    from .roles import Clip as Clip
    from .roles import Conversation as Conversation
    from .roles import Evidence as Evidence
    from .roles import Failure as Failure
    from .roles import Listener as Listener
    from .roles import Message as Message
    from .roles import Question as Question
    from .roles import Span as Span
    from .roles import Summarizer as Summarizer
    from .roles import Summary as Summary
    from .roles import TextEncoder as TextEncoder

_ROLES = (
    "AudioTextEncoder", "CaptionedExemplar", "Captioner", "ChatModel", "ChatOptions", "Clip", "Conversation",
    "Evidence", "Failure", "Listener", "Message", "Question", "Span", "Summarizer", "Summary", "TextEncoder",
)  # fmt: skip
_HOMES = {
    **dict.fromkeys(_ROLES, ".roles"),
    "Card": ".read.unit_card",
    "Match": ".read.search",
    "PluginError": "..plugins",
    "Verdict": ".evaluate.verdicts",
    "calibrate": ".describe.calibration",
    "caption": ".describe.captions",
    "card": ".read.unit_card",
    "explain": ".pipeline",
    "find_concepts": ".describe.concepts",
    "label": ".labels.label",
    "read_table": ".records.reading",
    "score": ".evaluate.scoring",
    "score_concepts": ".labels.concept_scores",
    "search": ".read.search",
    "summarize": ".describe.summaries",
}
__all__ = [
    "AudioTextEncoder", "CaptionedExemplar", "Captioner", "Card", "ChatModel", "ChatOptions", "Clip", "Conversation",
    "Evidence", "Failure", "Listener", "Match", "Message", "PluginError", "Question", "Span", "Summarizer", "Summary",
    "TextEncoder", "Verdict", "calibrate", "caption", "card", "explain", "find_concepts", "label", "read_table",
    "score", "score_concepts", "search", "summarize",
]  # fmt: skip

__getattr__, __dir__ = lazily(__name__, _HOMES)
