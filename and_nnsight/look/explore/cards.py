"""A unit's card for the page: the report's, with its sounds and pictures beside it."""

from __future__ import annotations

import base64
from typing import Any

from ...dissection.errors import DissectionError
from ..rendering import render
from ..sounds import make_sounds
from ..spectrogram import data_address
from ..unit_drawings import unit_drawings
from ..unit_view import UnitView
from .card_page import CardPage
from .opened import OpenedDissection


def card_of(opened: OpenedDissection, site: str, unit: int, number: int) -> dict[str, Any]:
    """What the page shows of a unit: its HTML, and of each exemplar that can be heard its sound and picture, by key.

    number  of the dissection's first site among all sites of the page
    Raises DissectionError if there is no such unit.
    """
    problem = opened.fill(site, unit)
    store = opened.dissection.exemplars()
    view: UnitView = opened.views.view(site, unit)
    sounds, drawings = {}, {}
    try:
        sounds = make_sounds(store, [each.span for each in view.exemplars if store.has_sound(each.clip)])
        drawings = unit_drawings(store, view, sounds)
    except DissectionError as error:  # damaged: what is said of the unit is shown all the same, with what to do
        problem = str(error)
    page = CardPage(view, sounds, drawings, number, opened.catalogue.standings)
    clips = {each.clip: each.name for each in view.exemplars if each.span in sounds}
    return {
        "html": render("unit.html.jinja", page=page, unit=view),
        "images": {sound.key: data_address(sound.image) for sound in sounds.values()},
        "sounds": {sound.key: base64.b64encode(sound.flac).decode() for sound in sounds.values()},
        "clips": [{"clip": clip, "name": name} for clip, name in clips.items()],
        "problem": problem,
    }
