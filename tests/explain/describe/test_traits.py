"""How a unit's clips sound is told where chance and the layer do not explain it, whichever units are asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from and_nnsight.explain.acoustics.measuring import measure
from and_nnsight.explain.acoustics.traits import TRAITS, as_clause, not_spoken_of, traits_of
from and_nnsight.explain.describe.traits import CHANCE, SharedTraits, Traits, binomial_tail

RATE = 16_000
SITE = "blocks.0.mlp.hook_post"


def tone(hertz: float, gain: float, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    return (gain * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def traits(of: dict[int, set[str]], layers: dict[str, list[float]] | None = None, **sides: list[int]) -> Traits:
    exemplars = {(SITE, 0, side): clips for side, clips in sides.items()}
    return Traits({clip: frozenset(names) for clip, names in of.items()}, sorted(of), layers or {}, exemplars)


def test_traits_are_those_of_the_sound() -> None:
    assert {"loud", "low-pitched", "dark"} <= traits_of(measure(tone(150, 0.9), RATE))
    assert {"quiet", "high-pitched", "bright"} <= traits_of(measure(tone(3000, 0.01), RATE))
    hiss = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    assert {"noisy", "bright"} <= traits_of(measure(hiss, RATE))
    assert traits_of(measure(np.zeros(RATE, np.float32), RATE)) == frozenset()
    assert not traits_of(measure(tone(150, 0.9), RATE)) - set(TRAITS)


@pytest.mark.parametrize(("count", "of", "rate"), [(0, 5, 0.3), (3, 5, 0.3), (16, 16, 0.7), (1, 1, 0.5)])
def test_the_tail_is_the_sum_of_its_probabilities(count: int, of: int, rate: float) -> None:
    rng = np.random.default_rng(0)
    drawn = (rng.random((200_000, of)) < rate).sum(1)
    assert binomial_tail(count, of, rate) == pytest.approx((drawn >= count).mean(), abs=4 * math.sqrt(0.25 / 200_000))


def test_a_trait_that_the_clips_share_and_others_lack_is_told() -> None:
    of = {clip: {"loud"} if clip < 8 else {"quiet"} for clip in range(100)}
    shared = traits(of, top=list(range(8)), bottom=list(range(90, 98))).shared(SITE, 0, "top")
    assert shared == SharedTraits(("loud",), 8, 8)


def test_what_the_whole_layer_responds_to_does_not_tell_a_unit() -> None:
    of = {clip: {"loud"} if clip < 8 else {"quiet"} for clip in range(100)}
    layer = {SITE: [50.0 if clip < 8 else 1.0 for clip in range(100)]}
    both = traits(of, layer, top=list(range(8)), bottom=list(range(8)))
    assert both.shared(SITE, 0, "top") is None
    assert traits(of, layer, top=list(range(50, 58)), bottom=list(range(8))).shared(SITE, 0, "bottom") is not None


def test_what_the_other_end_has_as_well_is_not_told() -> None:
    of = {clip: {"loud"} if clip < 16 else {"quiet"} for clip in range(60)}
    assert traits(of, top=list(range(5)), bottom=list(range(40, 45))).shared(SITE, 0, "top") is not None
    assert traits(of, top=list(range(5)), bottom=list(range(8, 13))).shared(SITE, 0, "top") is None


@pytest.mark.parametrize("size", [5, 16])
def test_units_with_random_clips_are_told_nothing(size: int) -> None:
    rng = np.random.default_rng(1)
    rates = rng.uniform(0.05, 0.8, len(TRAITS))
    of = {clip: {name for name, rate in zip(TRAITS, rates, strict=True) if rng.random() < rate} for clip in range(400)}
    told, units = 0, 400
    for _ in range(units):
        top, bottom = np.split(rng.choice(400, 2 * size, replace=False), 2)
        told += traits(of, top=top.tolist(), bottom=bottom.tolist()).shared(SITE, 0, "top") is not None
    assert told <= CHANCE * units


def test_a_clause_is_what_a_person_would_write() -> None:
    assert as_clause(["dying away", "loud", "low-pitched"]) == "loud, low-pitched sounds dying away"
    assert as_clause(["starting abruptly"]) == "sounds starting abruptly"
    assert not_spoken_of(("quiet", "bright"), "A soft note played on a harp in 4 of 5 clips.") == ("bright",)
    assert not_spoken_of(("high-pitched",), "A low-pitched note in 3 of 5 clips.") == ()
