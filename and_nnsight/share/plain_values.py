"""A unit's card and what a search found as plain values, for programs that read JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from ..dissection.exemplars import Exemplar
from ..explain.read.search import Match
from ..explain.read.unit_card import Card

_OF_EXEMPLARS = ("clip", "path", "label", "caption", "activation", "start", "end", "decided", "copy", "silent")


def match_columns(match: Match) -> dict[str, Any]:
    """What a search found: the fields of `Match`."""
    return {**_plain(match), "exemplars": [exemplar_columns(exemplar) for exemplar in match.exemplars]}


def card_columns(card: Card, most: int) -> dict[str, Any]:
    """All of a card, with at most so many exemplars at either end."""
    unit = card.unit
    about = {name: _plain(getattr(card, name)) for name in ("summary", "lowly", "calibrated", "dropped", "concepts")}
    return {
        "site": unit.site,
        "unit": unit.index,
        "mean": unit.mean,
        "variance": unit.variance,
        "active": unit.active,
        **{side: [_captioned(each, card) for each in getattr(unit, side)[:most]] for side in ("top", "bottom")},
        "top_shortfall": unit.top_shortfall,
        "bottom_shortfall": unit.bottom_shortfall,
        **about,
        **{name: _plain(getattr(card, name)) for name in ("labels", "failures", "verdicts", "listening", "effects")},
    }


def exemplar_columns(exemplar: Exemplar) -> dict[str, Any]:
    """A clip in a unit's list; `evidence`: whether it tells what the unit responds to."""
    columns = {name: getattr(exemplar, name) for name in _OF_EXEMPLARS}
    return {**columns, "evidence": exemplar.telling}


def _captioned(exemplar: Exemplar, card: Card) -> dict[str, Any]:
    return {**exemplar_columns(exemplar), "caption": card.captions.get(exemplar) or exemplar.caption}


def _plain(value: Any) -> Any:
    """Dataclasses as their fields, by name; exemplars apart."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value) if field.name != "exemplars"}
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value
