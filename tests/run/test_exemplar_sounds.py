"""dissect(keep_exemplars=…): the sounds of clips that cannot be read again, exactly those that stand in the lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from and_nnsight import Dissection, DissectionError
from and_nnsight.audio.loading import to_waveform
from and_nnsight.run import session as running
from tests.run.runs import StopsAfter, files, made, quick
from tests.run.test_exemplars import assert_curves_are_of
from tests.sounds_for_tests import RATE, ragged

pytestmark = pytest.mark.slow

SITE = "blocks.1.mlp.hook_post"


def stream(clips: list[Any]) -> Iterator[Any]:
    yield from clips


def in_lists(dissection: Dissection, most: int) -> set[int]:
    lists = [getattr(dissection[site], side).clips[:most] for site in dissection.sites for side in ("top", "bottom")]
    return {clip for clips in lists for clip in clips.flatten().tolist()} - {-1}


def test_of_a_stream_the_sounds_and_curves_of_all_lists_are_there(tmp_path: Path) -> None:
    clips = ragged(40)
    model = made()
    dissection = quick(model, stream(clips), tmp_path / "run", sites=SITE, keep_exemplars=1, batch_size=4)
    store = dissection.exemplars()
    assert set(store.clips) == in_lists(dissection, 1) and 1 < len(store.clips) < 40
    for clip in store.clips:
        item = clips[clip]
        heard = to_waveform(item["audio"], model.sampling_rate, source_rate=RATE)[: model.featuriser.window_samples]
        assert np.abs(store.audio(clip)[0] - heard).max() <= 2.0**-23
    unit = dissection.unit(SITE, 7)
    assert (SITE, 7, unit.top[0].clip) in store.curves and (SITE, 7, unit.bottom[0].clip) in store.curves
    assert len(store.curves) == 2 * 64


def test_of_some_units_only_theirs(tmp_path: Path) -> None:
    dissection = quick(
        made(), stream(ragged(30)), tmp_path / "run", sites="all", keep_exemplars=[(SITE, 3), f"{SITE}:9"]
    )
    wanted = {one.clip for index in (3, 9) for unit in [dissection.unit(SITE, index)] for one in unit.top + unit.bottom}
    assert set(dissection.exemplars().clips) == wanted
    for index in (3, 9):
        assert_curves_are_of(dissection, SITE, index)


@pytest.mark.parametrize("workers", [0, 1])
def test_interrupted_and_resumed_it_is_the_same(workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "CHECKPOINT_SECONDS", 0.0)
    clips, sites = ragged(24), [SITE, "blocks.0.hook_resid_post"]
    options: dict[str, Any] = {"sites": sites, "keep_exemplars": 2, "batch_size": 3, "num_workers": workers}
    quick(made(), stream(clips), tmp_path / "whole", **options)
    for at in (10, 20):
        with pytest.raises(RuntimeError):
            quick(made(), StopsAfter(clips, at, RuntimeError), tmp_path / "run", resume="trust", **options)
    with pytest.raises(DissectionError, match="begun with other keep_exemplars"):
        quick(
            made(),
            StopsAfter(clips, 99, RuntimeError),
            tmp_path / "run",
            resume="trust",
            **options | {"keep_exemplars": 1},
        )
    resumed = quick(made(), StopsAfter(clips, 99, RuntimeError), tmp_path / "run", resume="trust", **options)
    whole = Dissection.load(tmp_path / "whole")
    one, other = files(tmp_path / "whole"), files(tmp_path / "run")
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name] and not name.startswith("exemplars/curves")] == [
        "manifest.json"
    ]
    for key in whole.exemplars().curves:
        assert np.allclose(
            whole.exemplars().curve(*key).activation, resumed.exemplars().curve(*key).activation, atol=1e-5
        )


def test_a_run_that_was_begun_without_does_not_go_on_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "CHECKPOINT_SECONDS", 0.0)
    clips = ragged(12)
    with pytest.raises(RuntimeError):
        quick(made(), StopsAfter(clips, 8, RuntimeError), tmp_path / "run", batch_size=2)
    with pytest.raises(DissectionError, match="begun without keep_exemplars"):
        quick(
            made(),
            StopsAfter(clips, 99, RuntimeError),
            tmp_path / "run",
            batch_size=2,
            keep_exemplars=1,
            resume="trust",
        )


def test_sounds_that_left_the_lists_go_when_a_checkpoint_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("and_nnsight.run.sounds._MOST_WAITING", 4)
    seen: list[int] = []
    prune = running.SoundKeeper.prune

    def pruned(keeper: Any) -> None:
        prune(keeper)
        seen.append(len(list((tmp_path / "run/exemplars/sounds").glob("*.flac"))))

    monkeypatch.setattr(running.SoundKeeper, "prune", pruned)
    quick(made(), stream(ragged(60)), tmp_path / "run", sites=SITE, batch_size=4, keep_exemplars=[(SITE, 0)])
    assert len(seen) > 2 and max(seen) <= 6


@pytest.mark.parametrize("wrong", [0, 4, True, [("nowhere", 0)], [(SITE, 64)], ["7"]])
def test_what_is_no_choice_is_refused_before_anything_is_written(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        quick(made(), ragged(3), tmp_path / "run", sites=SITE, keep_exemplars=wrong)
    assert not (tmp_path / "run").exists()
