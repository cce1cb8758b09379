"""Frames against annotations: equal to sums over a kept table, whatever the order; and p that mean what they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from and_nnsight import Annotation, Annotations, Site
from and_nnsight.kernels import exact_average_precision
from and_nnsight.sites.geometry import Geometry, PatchGrid, Regular
from and_nnsight.sites.stretches import Stretches
from and_nnsight.statistics.annotation_statistics import AnnotationStatistics, annotation_tensors
from and_nnsight.statistics.frame_concepts import FrameConcepts, on_stretches

HOP = 0.02
UNITS = 4
LABELS = ("a", "b", "c")


def site_of(geometry: Geometry, units: int = UNITS) -> Site:
    return Site("blocks.0.mlp.hook_post", "up", "output", units, 0, geometry)


SITE = site_of(Regular(hop=HOP, span=HOP))


def spoken(random: np.random.Generator, seconds: float, labels: Sequence[str] = LABELS) -> list[Annotation]:
    """Labels of 30 to 200 ms one after another, some with gaps between."""
    annotations, now = [], float(random.uniform(0, 0.1))
    while now < seconds - 0.05:
        length = float(random.uniform(0.03, 0.2))
        annotations.append(Annotation("phones", str(random.choice(labels)), now, now + length))
        now += length + float(random.choice([0.0, 0.15]))
    return annotations


def drifting(random: np.random.Generator, frames: int, units: int) -> np.ndarray:
    """Noise whose frames hang together, each clip at a level of its own."""
    from scipy.signal import lfilter

    values = lfilter([1.0], [1.0, -0.9], random.normal(size=(frames + 50, units)), axis=0)[50:]
    return (values + random.normal(0, 3, size=units)).astype(np.float32)


class Clips:
    """Clips of a site: annotations, lengths, and activations that go a little with the labels."""

    def __init__(self, count: int, seed: int = 0, *, effect: float = 0.0, units: int = UNITS) -> None:
        random = np.random.default_rng(seed)
        self.seconds = [float(random.uniform(0.5, 1.5)) for _ in range(count)]
        spoken_in = {clip: spoken(random, seconds) for clip, seconds in enumerate(self.seconds)}
        spoken_in[1] = []
        self.annotations = Annotations.of(spoken_in)
        self.frames = 80
        self.values, self.carried = [], []
        for clip, seconds in enumerate(self.seconds):
            stretches = Stretches.of(SITE.geometry, seconds, self.frames)
            carried = self.annotations.carried(clip, stretches)
            values = drifting(random, self.frames, units)
            values[: len(carried), 0] += effect * carried[:, 0]
            values[len(carried) :] = 1e6  # beyond the clip: must never count
            self.values.append(values)
            self.carried.append(carried)

    def fed(self, order: Sequence[Sequence[int]], site: Site = SITE) -> FrameConcepts:
        """Accumulators that the clips were fed to in these batches; their bins are those of the first clip."""
        frames = self.empty(site)
        for batch in order:
            activations = torch.tensor(np.stack([self.values[clip] for clip in batch]))
            frames.update(site, [activations[..., :1], activations[..., 1:]], batch, [self.seconds[c] for c in batch])
        return frames

    def empty(self, site: Site = SITE) -> FrameConcepts:
        frames = FrameConcepts({site.name: self.values[0].shape[1]}, self.annotations)
        frames.sites[site.name].fix_bins(torch.tensor(np.concatenate([own[:20] for own in self.values[:10]])))
        return frames

    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """All stretches of all clips: activations and what they carry."""
        lengths = [len(carried) for carried in self.carried]
        values = [own[:length] for own, length in zip(self.values, lengths, strict=True)]
        return np.concatenate(values).astype(np.float64), np.concatenate(self.carried)


def results(frames: FrameConcepts) -> AnnotationStatistics:
    return AnnotationStatistics.from_tensors(frames.annotations.names, annotation_tensors(frames)[SITE.name])


def one_by_one(count: int) -> list[list[int]]:
    return [[clip] for clip in range(count)]


def test_they_are_what_a_kept_table_gives() -> None:
    clips = Clips(25, effect=2.0)
    found = results(clips.fed([list(range(7)), list(range(7, 25))]))
    values, carried = clips.table()
    assert (found.stretches, found.annotated) == (len(values), 25)
    np.testing.assert_allclose(found.base_rate, carried.mean(0), atol=1e-7)
    for unit in range(UNITS):
        for place in range(len(found.names)):
            expected = np.corrcoef(values[:, unit], carried[:, place])[0, 1]
            assert found.pearson[unit, place] == pytest.approx(expected, abs=1e-6)
    exact = exact_average_precision(torch.tensor(values).float(), torch.tensor(carried)).numpy()
    np.testing.assert_allclose(found.auprc, exact, atol=0.03)  # counted in bins
    assert found.auprc[0, 0] > 1.4 * found.base_rate[0]


def test_p_is_the_larger_of_students_t_over_clips_and_z_over_all_turns() -> None:
    from scipy.stats import norm, ttest_1samp

    clips = Clips(25, effect=0.5)
    found = results(clips.fed(one_by_one(25)))
    for unit in range(UNITS):
        for place in range(len(found.names)):
            own, variance = [], 0.0
            for values, carried in zip(clips.values, clips.carried, strict=True):
                y = carried[:, place].astype(float)
                if 0 < y.sum() < len(y):
                    x = values[: len(y), unit].astype(np.float64)
                    own.append(((x - x.mean()) * (y - y.mean())).sum())
                    turns = [((x - x.mean()) * (np.roll(y, turn) - y.mean())).sum() for turn in range(len(y))]
                    variance += np.mean(np.square(turns))
            assert found.clips[place] == len(own)
            test: Any = ttest_1samp(own, 0, alternative="greater")
            normal: Any = norm
            expected = max(test.pvalue, normal.sf(sum(own) / np.sqrt(variance)))
            assert found.p[unit, place] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_batches_order_and_merges_do_not_show_in_a_bit(seed: int) -> None:
    count = 24
    clips, random = Clips(count, seed), np.random.default_rng(seed)
    first = annotation_tensors(clips.fed(one_by_one(count)))
    order = random.permutation(count).tolist()
    cuts = sorted(random.choice(np.arange(1, count), 5, replace=False).tolist())
    batches = [order[start:stop] for start, stop in zip([0, *cuts], [*cuts, count], strict=True)]
    parts = [clips.fed([batch]) for batch in batches]
    random.shuffle(parts)
    while len(parts) > 1:
        one = parts.pop(int(random.integers(len(parts))))
        parts[int(random.integers(len(parts)))].merge(one)
    resumed = clips.empty()
    resumed.load_state_dict(parts[0].state_dict())
    for other in (clips.fed(batches), parts[0], resumed):
        for name, tensor in annotation_tensors(other)[SITE.name].items():
            assert torch.equal(tensor.nan_to_num(-9.0), first[SITE.name][name].nan_to_num(-9.0)), name


def test_p_of_noise_is_uniform_and_so_is_that_of_annotations_turned_round() -> None:
    """Frames that hang together, and levels of their own, which a test that counts frames would take for effects."""
    from scipy.stats import kstest

    p: dict[str, list[float]] = {"p": [], "p_turned": []}
    for seed in range(10):
        found = results(Clips(30, 100 + seed, units=24).fed([list(range(30))]))
        for name, values in p.items():
            values += getattr(found, name)[:, 0].tolist()
    for name, values in p.items():
        assert kstest(values, "uniform").pvalue > 0.01, name
        assert abs(np.mean(np.array(values) < 0.05) - 0.05) < 0.04, name


def test_units_that_dip_and_rare_concepts_do_not_pass_by_chance() -> None:
    """Student's t alone takes nearly equal s of the few clips in which a concept is for certainty."""
    random, by_clip, values = np.random.default_rng(3), {}, []
    for clip in range(6):
        start = float(random.uniform(0, 0.9))
        by_clip[clip] = [Annotation("words", "rare", start, start + 0.05)]
        own = np.ones((50, 200), np.float32) + random.normal(0, 1e-3, (50, 200)).astype(np.float32)
        own[random.integers(50, size=200), np.arange(200)] = -5.0
        values.append(own)
    frames = FrameConcepts({SITE.name: 200}, Annotations.of(by_clip))
    frames.sites[SITE.name].fix_bins(torch.tensor(values[0]))
    frames.update(SITE, [torch.tensor(np.stack(values))], list(range(6)), [1.0] * 6)
    assert float((results(frames).p < 0.01).float().mean()) <= 0.03


def test_an_effect_is_found_and_turned_round_it_is_not() -> None:
    found = results(Clips(40, 5, effect=2.0).fed([list(range(40))]))
    assert found.q[0, 0] < 1e-3
    assert found.p_turned[0, 0] > 0.01
    assert float(found.q[1:].min()) > 0.05, "the units beside it do nothing"


def test_what_does_not_change_within_clips_has_no_p() -> None:
    clips = Clips(12)
    speakers = {clip: [Annotation("speaker", f"s{clip % 2}", 0.0, 9.0)] for clip in range(12)}
    clips.annotations = Annotations.of(speakers)
    clips.values = [own + 5 * (clip % 2) for clip, own in enumerate(clips.values)]
    found = results(clips.fed([list(range(12))]))
    assert found.p.isnan().all() and found.q.isnan().all()
    assert found.clips.tolist() == [0, 0]
    assert (found.pearson[:, 1] > 0.2).all(), "what it says of whole clips is there"
    assert (found.auprc[:, 1] > found.base_rate[1]).all()


def test_hostile_values() -> None:
    """Constant units, units constant on each clip, and one that is not finite once, at an offset that hides a lot."""
    clips = Clips(10)
    for clip, own in enumerate(clips.values):
        own[:, 1] = 0.1
        own[:, 2] = 0.1 * clip
        own[:, 3] += 4096.0
    clips.values[4][3, 0] = np.inf
    found = results(clips.fed([list(range(10))]))
    assert found.pearson[0].isnan().all() and found.auprc[0].isnan().all() and found.p[0].isnan().all()
    assert (found.pearson[1] == 0).all() and found.p[1].isnan().all(), "constant"
    assert found.p[2].isnan().all(), "nothing happens within its clips"
    values, carried = clips.table()
    for place in range(len(found.names)):
        expected = np.corrcoef(values[:, 3], carried[:, place])[0, 1]
        assert found.pearson[3, place] == pytest.approx(expected, abs=1e-6)


def test_patches_of_one_column_share_a_stretch() -> None:
    geometry = PatchGrid(special_tokens=1, columns=5, hop=0.1, span=0.1)
    stretches = Stretches.of(geometry, 0.5, 11)
    values = torch.arange(22.0).reshape(11, 2)
    values[3, 0] = torch.nan
    expected = stretches.maxima(values.numpy())
    np.testing.assert_array_equal(on_stretches(values, stretches).numpy(), expected)
    assert expected.shape == (5, 2)


def test_clips_that_are_not_annotated_are_passed_over() -> None:
    clips = Clips(6)
    some = clips.annotations
    keep: dict[str, Any] = {name: getattr(some, name) for name in ("names", "concept", "start", "end", "origin")}
    clips.annotations = Annotations(clips=some.clips + 10, first=some.first, **keep)
    found = results(clips.fed([list(range(6))]))
    assert (found.annotated, found.stretches) == (0, 0)
    assert found.pearson.isnan().all() and found.p.isnan().all()


def test_statistics_that_do_not_fit_are_not_merged() -> None:
    clips, others = Clips(6), Clips(6, 1)
    with pytest.raises(ValueError, match="of different units, concepts or bins"):
        clips.fed([[0]]).merge(others.fed([[1]]))
