"""dissect with annotations: planted units found by their phones, shards and interruptions without a trace, refusals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from and_nnsight import Annotation, AnnotationError, Annotations, AudioModel, Dissection, DissectionError, SiteError
from tests.dictionaries_for_tests import sae_lens
from tests.run.runs import StopsAfter, files, made, quick
from tests.sounds_for_tests import ragged
from tests.speech.planted_phones import (
    IDLE,
    PHONES,
    RATE,
    SITE,
    Listener,
    Utterance,
    utterance,
    write_clips,
    write_textgrids,
)

UTTERANCES = [utterance(seed) for seed in range(24)]
PLACES = {f"phones: {phone}": unit for unit, phone in enumerate(PHONES)}


def spoken(utterances: Sequence[Utterance] = UTTERANCES) -> Annotations:
    """The phones of some utterances, as annotations of a list of them."""
    return Annotations.of({clip: one.phones for clip, one in enumerate(utterances)})


def sounds(utterances: Sequence[Utterance] = UTTERANCES) -> list[dict[str, Any]]:
    return [{"audio": one.samples, "sampling_rate": RATE} for one in utterances]


def listened(out: Path, **options: Any) -> Dissection:
    chosen = {"data": sounds(), "annotations": spoken(), **options}
    return quick(AudioModel(Listener()), chosen.pop("data"), out, **chosen)


def test_planted_units_are_found_by_the_phones_that_they_listen_for(tmp_path: Path) -> None:
    clips, grids = write_clips(tmp_path / "clips", UTTERANCES), write_textgrids(tmp_path / "grids", UTTERANCES)
    found = listened(tmp_path / "run", data=str(clips), annotations=grids).annotation_statistics(SITE)
    assert found.names == ("pause", *PLACES)
    for place, name in enumerate(found.names[1:], 1):
        unit = PLACES[name]
        assert int(found.auprc[:, place].argmax()) == unit == int(found.pearson[:, place].argmax())
        assert found.auprc[unit, place] > 0.95 and found.q[unit, place] < 1e-3
        others = [other for other in range(len(PHONES)) if other != unit]
        assert (found.q[others, place] > 0.5).all(), "a phone is none of the others' business"
        assert (found.auprc[others, place] < found.base_rate[place] + 0.05).all()
    idle = slice(len(PHONES), len(PHONES) + len(IDLE))
    assert float(found.auprc[idle].sub(found.base_rate).max()) < 0.1


def test_annotations_that_were_moved_find_nothing(tmp_path: Path) -> None:
    clips, grids = write_clips(tmp_path / "clips", UTTERANCES), write_textgrids(tmp_path / "grids", UTTERANCES, 0.41)
    found = listened(tmp_path / "run", data=str(clips), annotations=grids).annotation_statistics(SITE)
    assert float(found.q[: len(PHONES)].nan_to_num(1.0).min()) > 0.05
    assert float(found.auprc[: len(PHONES), 1:].max()) < 0.3


def test_they_are_what_the_frames_themselves_say(tmp_path: Path) -> None:
    """A whole run against activations out of a trace, on a transformer with padding and ragged clips."""
    data: list[Any] = [item for item in ragged(8) if len(item["audio"]) >= 4_000]  # pyright: ignore
    random = np.random.default_rng(0)
    labels = {
        clip: [Annotation("t", str(random.integers(2)), start / 10, start / 10 + 0.08) for start in range(12)]
        for clip in range(len(data))
    }
    annotations, model = Annotations.of(labels), made("hubert-post")
    dissection = quick(model, data, tmp_path / "run", batch_size=3, annotations=annotations)
    site = dissection.sites[0]
    found, geometry = dissection.annotation_statistics(site), dissection.geometry(site)
    values, carried = [], []
    for clip, item in enumerate(data):
        with torch.no_grad(), model.trace(item["audio"]):
            own = model.site(site).save()
        times = geometry.times(np.arange(own.shape[1]))
        middles = (times[:, 0] + np.minimum(times[:, 1], dissection.clips[clip].seconds)) / 2
        values.append(own[0].numpy())
        for middle in middles:
            at = [each.label for each in labels[clip] if each.start <= middle < each.end]
            carried.append([label in at for label in ("0", "1")])
    table, truth = np.concatenate(values), np.array(carried)
    assert (found.stretches, found.annotated) == (len(table), len(data))
    np.testing.assert_allclose(found.base_rate, truth.mean(0), atol=1e-7)
    expected = np.corrcoef(table.T, truth.T)[: table.shape[1], table.shape[1] :]
    np.testing.assert_allclose(found.pearson, expected, atol=2e-4)


def compared(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in files(folder).items() if name.startswith("concepts/")}


def test_shards_and_interruptions_leave_no_trace(tmp_path: Path) -> None:
    data = [one["audio"] for one in sounds()]
    whole = listened(tmp_path / "whole", data=data, batch_size=4)
    for part in ("1/3", "0/3", "2/3"):
        merged = listened(tmp_path / "shards", data=data, batch_size=4, shard=part)
    assert merged.manifest.shard is None
    assert compared(merged.folder) == compared(whole.folder)
    assert len(compared(whole.folder)) == 1 + len(whole.sites)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("and_nnsight.run.session.CHECKPOINT_SECONDS", 0.0)
    utterances = [*UTTERANCES, *(utterance(seed) for seed in range(100, 120))]
    data = [one.samples for one in utterances]
    whole = listened(tmp_path / "whole", data=data, batch_size=4, annotations=spoken(utterances))

    def stopped(out: Path, at: int) -> None:
        once = _Stops(data, at)
        with pytest.raises(KeyboardInterrupt):
            listened(out, data=once, batch_size=4, annotations=spoken(utterances), resume="trust")

    for at in (3, 37, 42):  # before the bins are fixed; in the stream
        out = tmp_path / f"stopped at {at}"
        stopped(out, at)
        again = listened(out, data=_Stops(data, -1), batch_size=4, annotations=spoken(utterances), resume="trust")
        assert compared(again.folder) == compared(whole.folder)


class _Stops:
    """Clips that can be read again and again, until one of them is come to for the second time."""

    def __init__(self, data: list[np.ndarray], at: int) -> None:
        self.data, self.at, self.times = data, at, 0

    def __iter__(self) -> Any:
        self.times += 1
        stop = self.at if self.at < 30 or self.times > 1 else -1
        return iter(StopsAfter(self.data, stop, KeyboardInterrupt))


def test_a_dissection_says_what_it_was_compared_with(tmp_path: Path) -> None:
    found = listened(tmp_path / "run")
    assert found.annotations is not None and found.annotations.names == tuple(PLACES)
    description = found.manifest.annotations
    assert description is not None and (description.count, description.clips) == (5, 24)
    again = listened(tmp_path / "run")
    assert again.manifest == found.manifest
    with pytest.raises(DissectionError, match="annotations: other ones there, these here"):
        listened(tmp_path / "run", annotations=spoken(UTTERANCES[:20]))
    with pytest.raises(DissectionError, match="annotations: some there, none here"):
        listened(tmp_path / "run", annotations=None)
    (found.folder / "concepts" / "frames" / f"{SITE}.safetensors").unlink()
    with pytest.raises(DissectionError, match="is damaged: it lacks concepts/frames/blocks.0"):
        Dissection.load(found.folder)


def test_without_annotations_it_says_how_to_have_them(tmp_path: Path) -> None:
    plain = listened(tmp_path / "run", annotations=None)
    assert plain.annotations is None
    assert "annotations" not in (plain.folder / "manifest.json").read_text(encoding="utf-8")
    with pytest.raises(DissectionError, match="was made without annotations: call dissect with annotations="):
        plain.annotation_statistics(SITE)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"frames have no seconds at unembed\.hook_out: choose other sites"):
        listened(tmp_path / "run", sites="unembed.hook_out")
    with pytest.raises(ValueError, match="needs data that can be read more than once, and a generator cannot"):
        listened(tmp_path / "run", data=(one for one in sounds()))
    others = Annotations.of({0: UTTERANCES[0].phones}, settings={"dataset": "0123"})
    with pytest.raises(AnnotationError, match="made for other data"):
        listened(tmp_path / "run", annotations=others)
    with pytest.raises(ValueError, match="annotations= and keep_activations= need every clip's values"):
        quick("some/model", sounds(), tmp_path / "run", annotations=spoken(), remote=True)  # pyright: ignore
    assert not (tmp_path / "run").exists()


def test_latents_of_a_dictionary_come_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sae_lens(tmp_path / "sae", "standard", len(PHONES) + len(IDLE), 12)
    monkeypatch.setattr("and_nnsight.dictionaries.autoencoder.LATENTS_AT_ONCE", 5, raising=False)
    found = listened(tmp_path / "run", sites=f"{SITE}|sae:{tmp_path / 'sae'}")
    statistics = found.annotation_statistics(found.sites[0])
    assert statistics.pearson.shape == (12, len(PHONES)) and statistics.stretches > 1000
