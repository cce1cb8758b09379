"""The page's model hears a sound as the dissection did, and live sound as a clip that ends now."""

from __future__ import annotations

import numpy as np
import pytest

from and_nnsight import Dissection
from and_nnsight.audio.loading import load
from and_nnsight.demo import Sound
from and_nnsight.look.explore.hearing import Hearer, Response
from and_nnsight.look.explore.opened import OpenedDissection


@pytest.fixture
def hearer(opened: OpenedDissection) -> Hearer:
    return opened.listening()


def samples_of(sound: Sound, hearer: Hearer) -> np.ndarray:
    return load(
        sound.waveform, hearer.rate, source_rate=sound.sampling_rate, window=hearer.adapter.featuriser.window_samples
    ).samples


def test_a_dissected_clip_moves_units_as_far_as_the_dissection_says(
    hearer: Hearer, dissection: Dissection, sounds: list[Sound]
) -> None:
    site = dissection.sites[0]
    statistics = dissection[site]
    for unit in (0, 5, 11):
        exemplar = dissection.unit(site, unit).top[0]
        answers = hearer.whole(samples_of(sounds[exemplar.clip], hearer), 10_000)
        answer = next(each for each in answers if (each.site, each.unit) == (site, unit))
        assert answer.activation == pytest.approx(exemplar.activation, abs=1e-5)
        deviation = (exemplar.activation - float(statistics.mean[unit])) / float(statistics.variance[unit]) ** 0.5
        assert answer.deviation == pytest.approx(deviation, rel=1e-4)
        assert answer.of_record == pytest.approx(1.0, abs=1e-4)


def test_the_strongest_come_first_and_only_those_asked_for(
    hearer: Hearer, dissection: Dissection, sounds: list[Sound]
) -> None:
    sound = samples_of(sounds[3], hearer)
    every = hearer.whole(sound, 10_000)
    assert [each.rank for each in every] == sorted((each.rank for each in every), reverse=True)
    assert hearer.whole(sound, 7) == every[:7]
    among = {site: np.arange(dissection[site].units) % 5 == 0 for site in dissection.sites}
    assert hearer.whole(sound, 7, among) == [each for each in every if each.unit % 5 == 0][:7]


def test_a_curve_peaks_where_the_whole_sound_does(hearer: Hearer, sounds: list[Sound]) -> None:
    sound = samples_of(sounds[7], hearer)
    answers = hearer.whole(sound, 4)
    for answer, curve in zip(answers, hearer.curves(sound, [(each.site, each.unit) for each in answers]), strict=True):
        assert (curve.site, curve.unit) == (answer.site, answer.unit)
        assert float(curve.deviation.max()) == pytest.approx(answer.deviation, rel=1e-4)


def test_now_is_the_end_of_what_was_heard(hearer: Hearer, sounds: list[Sound]) -> None:
    """Over as many last seconds as there are, now is the whole; over fewer it is no more."""
    sound = samples_of(sounds[2], hearer)
    whole = {(each.site, each.unit): each.activation for each in hearer.whole(sound, 10_000)}
    every, _ = hearer.now(sound, 60.0, 10_000)
    assert {(each.site, each.unit): each.activation for each in every} == pytest.approx(whole, abs=1e-5)
    latest, followed = hearer.now(sound, 0.3, 10_000, [("blocks.1.mlp.hook_post", 4), ("nowhere", 1)])
    assert all(each.activation <= whole[each.site, each.unit] + 1e-5 for each in latest)
    assert [(each.site, each.unit) for each in followed] == [("blocks.1.mlp.hook_post", 4)]


def test_a_unit_that_says_the_same_of_all_clips_never_stands_out(opened: OpenedDissection) -> None:
    from and_nnsight.look.explore.hearing import SiteScale

    torch = pytest.importorskip("torch")
    scale = SiteScale(torch.tensor([0.0, 0.0, float("nan")]), torch.tensor([0.0, 1.0, float("nan")]), torch.zeros(3))
    assert scale.of(torch.tensor([5.0, 5.0, 5.0])).tolist() == [-np.inf, 5.0, -np.inf]


def test_beyond_what_is_clear_a_unit_at_its_record_comes_before_one_that_hardly_ever_fires() -> None:
    steady, sparse = Response("a", 0, 9.0, 7.0, 1.0), Response("a", 1, 2.0, 300.0, 0.2)
    weak = Response("a", 2, 1.0, 5.0, 1.0)
    assert sorted([weak, sparse, steady], key=lambda each: each.rank, reverse=True) == [steady, sparse, weak]
