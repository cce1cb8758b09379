"""What goes out to delphi is what the dissection holds: which clips each unit fires on, how much, and what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra import numpy as arrays
from safetensors.torch import load_file

from and_nnsight import Dissection, DissectionError
from and_nnsight.share.delphi import ClipTokenizer, export_delphi
from and_nnsight.share.delphi.firing import firings
from tests.explain.small_dissection import small_dissection
from tests.share.conftest import SITES


def firing_clips(run: Path, site: str) -> dict[int, dict[int, float]]:
    """Unit by unit, the clips that it fires on and how far above its threshold, out of the files of a site."""
    fired: dict[int, dict[int, float]] = {}
    clips = ClipTokenizer(run).clips
    for path in sorted((run / "latents" / site).glob("*.safetensors")):
        first, last = map(int, path.stem.split("_"))
        tensors = load_file(path)
        locations, excess = tensors["locations"].int(), tensors["activations"]
        assert (locations[:, 1] == 0).all() and locations[:, 2].max() <= last - first
        order = [tuple(place) for place in locations.tolist()]
        assert order == sorted(order), "delphi wants them by context"
        for (row, _, unit), value in zip(order, excess.tolist(), strict=True):
            fired.setdefault(first + unit, {})[clips[row]] = value
    return fired


def test_units_fire_on_the_clips_that_they_answer_to_most(explained: Dissection, tmp_path: Path) -> None:
    share = 0.2
    written = export_delphi(explained, tmp_path / "run", share=share)
    assert {path.name for path in (tmp_path / "run" / "latents").iterdir()} == set(SITES)
    rows = [place for place, clip in enumerate(explained.clips) if clip not in explained.copies]
    assert written.clips == len(rows)
    for site in SITES:
        activations = explained.activations(site)
        assert activations is not None
        fired = firing_clips(tmp_path / "run", site)
        for unit in (0, 7, 40):
            values = {list(explained.clips)[row]: float(activations[row, unit]) for row in rows}
            threshold = sorted(values.values(), reverse=True)[int(share * len(rows))]
            above = {clip: value - threshold for clip, value in values.items() if value > threshold}
            assert fired.get(unit, {}) == pytest.approx(above)
    assert written.units + written.silent == sum(explained.widths().values())


def test_a_clips_token_is_its_caption(explained: Dissection, tmp_path: Path) -> None:
    export_delphi(explained, tmp_path / "run", sites=SITES[0])
    tokenizer = ClipTokenizer(tmp_path / "run")
    (path,) = (tmp_path / "run" / "latents" / SITES[0]).glob("*.safetensors")
    tokens = load_file(path)["tokens"]
    assert tuple(tokens.shape) == (len(tokenizer.clips), 1)
    for clip, row in zip(tokenizer.clips, tokens, strict=True):
        caption = explained.clips[clip].caption
        assert caption is not None
        assert tokenizer.batch_decode(row) == [" ".join(caption.split())] == [tokenizer.decode(row)]
    labels = export_delphi(explained, tmp_path / "labels", sites=SITES[0], texts="labels")
    assert labels.texts == "labels of the dataset"
    assert set(ClipTokenizer(tmp_path / "labels").texts) <= {str(row.label) for row in explained.clips.values()}


def test_what_we_say_of_units_goes_along(explained: Dissection, tmp_path: Path) -> None:
    written = export_delphi(explained, tmp_path / "run")
    said = {(row.site, row.unit): row.explanation for row in explained.units() if row.explanation}
    there = {
        tuple(path.stem.rsplit("_latent")): json.loads(path.read_text())
        for path in (tmp_path / "run" / "explanations").iterdir()
    }
    assert written.explanations == len(there) > 10
    assert all(said[site, int(unit)] == text for (site, unit), text in there.items())


def test_nothing_of_this_machine_goes_out(explained: Dissection, tmp_path: Path) -> None:
    export_delphi(explained, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "latents" / SITES[0] / "config.json").read_text())
    assert (config["site"], config["cache_ctx_len"], config["model_name"]) == (SITES[0], 1, "tiny_ast")


@given(
    activations=arrays.arrays(
        np.float32,
        some.tuples(some.integers(2, 12), some.integers(1, 4)),
        elements=some.sampled_from([0, 0, 0, -2.5, 1, 1.5, 3e-8, np.nan, np.inf, -1e30]).map(np.float32),
    ),
    share=some.floats(0.01, 0.9),
)
def test_no_more_than_the_share_fire_and_none_that_is_silent_lies_above(activations: np.ndarray, share: float) -> None:
    most = max(1, int(share * len(activations)))
    fired = firings(activations, share)
    assert np.isfinite(fired.excess).all() and (fired.excess > 0).all()
    for unit, values in enumerate(activations.T):
        rows = fired.rows[fired.units == unit]
        assert len(rows) <= most
        assert fired.usable[unit] == (len(rows) > 0)
        if len(rows):
            rest = np.delete(values, rows)
            assert np.isfinite(values).all() and values[rows].min() > rest.max() == fired.thresholds[unit]


def test_a_sparse_latent_fires_wherever_it_is_not_zero() -> None:
    activations = np.zeros((40, 1), np.float32)
    activations[[3, 9], 0] = 0.5, 2.0
    fired = firings(activations, 0.1)
    assert fired.rows.tolist() == [3, 9] and fired.excess.tolist() == [0.5, 2.0] and fired.thresholds.tolist() == [0]


def test_what_delphi_cannot_have_is_refused_with_what_to_do(explained: Dissection, tmp_path: Path) -> None:
    bare = small_dissection(tmp_path / "bare")
    with pytest.raises(DissectionError, match="dissect again with keep_activations=True"):
        export_delphi(bare, tmp_path / "out")
    for clip, row in list(bare.clips.items()):
        bare.clips[clip] = type(row)(row.clip, row.path, None, None, row.seconds)
    with pytest.raises(DissectionError, match="captions of the dataset are there of 0 clips.*--texts labels"):
        export_delphi(bare, tmp_path / "out")
    with pytest.raises(ValueError, match="between 0 and 1, not 1"):
        export_delphi(explained, tmp_path / "out", share=1)
    with pytest.raises(ValueError, match="unknown texts 'seconds': one of captions, labels"):
        export_delphi(explained, tmp_path / "out", texts="seconds")
    assert not (tmp_path / "out").exists()
    with pytest.raises(DissectionError, match="is there and not empty: choose another folder"):
        export_delphi(explained, tmp_path)
    with pytest.raises(ValueError, match="export the dissection again"):
        ClipTokenizer(tmp_path / "out")
