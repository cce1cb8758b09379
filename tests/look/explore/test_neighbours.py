"""Units are near that fire on the same clips: held against sets, counted one by one."""

from __future__ import annotations

import math

from and_nnsight import Dissection
from and_nnsight.look.explore.neighbours import Neighbourhood, TopClips


def evidence(dissection: Dissection) -> dict[tuple[str, int], set[str]]:
    contents = {clip: row.content for clip, row in dissection.clips.items()}
    return {
        (site, unit): {contents[each.clip] for each in dissection.unit(site, unit).top if each.telling}
        for site in dissection.sites
        for unit in range(dissection[site].units)
    }


def overlap(left: set[str], right: set[str]) -> float:
    return len(left & right) / math.sqrt(max(1, len(left)) * max(1, len(right)))


def test_overlaps_are_those_of_the_sets_of_clips(dissection: Dissection) -> None:
    tops = TopClips(dissection)
    near, sets = Neighbourhood(tops, tops), evidence(dissection)
    for at in list(sets)[::37]:
        expected = {other: overlap(sets[at], sets[other]) for other in sets if other != at}
        there = near.of(at, 20)
        assert [each.overlap for each in there] == sorted((each.overlap for each in there), reverse=True)
        assert all(math.isclose(each.overlap, expected[each.site, each.unit], abs_tol=1e-6) for each in there)
        best = sorted(expected.values(), reverse=True)[: len(there)]
        assert all(math.isclose(each.overlap, value, abs_tol=1e-6) for each, value in zip(there, best, strict=True))


def test_a_unit_is_its_own_twin_in_a_second_dissection_of_the_same_clips(dissection: Dissection) -> None:
    near, sets = Neighbourhood(TopClips(dissection), TopClips(Dissection.load(dissection.folder))), evidence(dissection)
    for at in [at for at, clips in sets.items() if clips][::41]:
        twins = [each for each in near.of(at, 1000) if math.isclose(each.overlap, 1.0, abs_tol=1e-6)]
        assert at in {(each.site, each.unit) for each in twins}
