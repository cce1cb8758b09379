"""Batches: what they hold, the clips that are set aside, and the errors that are raised in their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from and_nnsight.audio.loading import AudioError, content_hash, load, to_waveform
from and_nnsight.data import Batch, Clip, ClipLengths, Quarantined, batches, open_source
from tests.damaged import encode, sound, write_damaged_folder
from tests.data.featurisers import RATE, Features, Lengths, clips_of, run


class Picky(Lengths):
    """Refuses clips of some lengths, and takes no batch that holds one."""

    def __init__(self, *refused: int):
        self.refused = refused

    def __call__(self, waveforms: Sequence[np.ndarray]) -> list[int]:
        lengths = super().__call__(waveforms)
        for length in lengths:
            if length in self.refused:
                raise AudioError(f"{length} is an unlucky length")
        return lengths


class Broken(Lengths):
    """Fails, and not because of a clip, once a batch holds a clip of 13 samples."""

    def __call__(self, waveforms: Sequence[np.ndarray]) -> list[int]:
        if any(len(waveform) == 13 for waveform in waveforms):
            raise ZeroDivisionError("a bug in the features")
        return super().__call__(waveforms)


def test_a_batch_holds_its_clips_and_their_inputs(tmp_path: Path):
    (tmp_path / "dog").mkdir()
    path = tmp_path / "dog" / "a.wav"
    path.write_bytes(encode(sound(0.5, 8000), 8000))
    [batch] = run(tmp_path)
    content = content_hash(load(path, 16_000).samples)
    assert batch == Batch(0, 1, (Clip(0, str(path), "dog", None, 0.5, 8000, content, False),), [8000], ())


def test_featurise_gets_float32_waveforms_at_the_wanted_rate():
    seen = []
    tone = sound(0.2, 44100)
    run([{"array": tone, "sampling_rate": 44100}, {"audio": tone, "sampling_rate": 44100}, tone], seen.append)
    waveforms = seen[0]
    assert [waveform.dtype for waveform in waveforms] == [np.float32] * 3
    assert np.array_equal(waveforms[0], to_waveform(tone, RATE, source_rate=44100))
    assert np.array_equal(waveforms[1], waveforms[0])
    assert np.array_equal(waveforms[2], tone), "without a rate, a waveform is at the wanted one"


@settings(deadline=None)
@given(
    healthy=st.lists(st.booleans(), max_size=40),
    batch_size=st.integers(1, 12),
    limit=st.none() | st.integers(1, 50),
)
def test_batches_cover_every_position_once(healthy: list[bool], batch_size: int, limit: int | None):
    data = [np.full(position + 1, 0.1, np.float32) if good else b"no audio" for position, good in enumerate(healthy)]
    found = run(data, batch_size=batch_size, limit=limit)
    covered = [position for batch in found for position in range(batch.position, batch.position + batch.size)]
    assert covered == list(range(len(data) if limit is None else min(limit, len(data))))
    for batch in found:
        assert batch.position % batch_size == 0
        good = [clip.id for clip in batch.clips]
        bad = [quarantined.clip for quarantined in batch.quarantined]
        assert sorted(good + bad) == list(range(batch.position, batch.position + batch.size))
        assert good == [position for position in sorted(good + bad) if healthy[position]]
        assert batch.inputs == ([position + 1 for position in good] if good else None)


@pytest.mark.slow
@settings(deadline=None)
@given(count=st.integers(0, 30), batch_size=st.integers(1, 7), skipped=st.integers(0, 5))
def test_a_resumed_run_sees_the_same_batches(count: int, batch_size: int, skipped: int):
    data = [b"no audio" if position % 3 == 1 else clip for position, clip in enumerate(clips_of(*range(1, count + 1)))]
    whole = run(data, batch_size=batch_size)
    assert run(data, batch_size=batch_size, start=skipped * batch_size) == whole[skipped:]
    assert run((clip for clip in data), batch_size=batch_size, start=skipped * batch_size) == whole[skipped:]


def test_an_empty_source_gives_no_batches():
    assert run([]) == []
    assert run([], num_workers=2) == []


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 2])
def test_damaged_files_are_set_aside_with_their_reasons(tmp_path: Path, num_workers: int):
    expected = write_damaged_folder(tmp_path)
    found = run(tmp_path, Features(), num_workers=num_workers)
    healthy = {Path(clip.path).relative_to(tmp_path).as_posix() for batch in found for clip in batch.clips}
    assert healthy == {name for name, reason in expected.items() if reason is None}
    reasons = {
        Path(bad.path).relative_to(tmp_path).as_posix(): bad.reason for batch in found for bad in batch.quarantined
    }
    assert set(reasons) == {name for name, reason in expected.items() if reason}
    for name, reason in reasons.items():
        assert expected[name] in reason, name
        assert str(tmp_path) not in reason, "the path stands beside the reason, not in it"


def test_a_clip_that_is_too_short_is_set_aside():
    [batch] = run(clips_of(399, 400, 1), lengths=ClipLengths(400))
    assert [clip.id for clip in batch.clips] == [1]
    assert batch.quarantined[0] == Quarantined(0, None, "too short: 399 samples at 16000 Hz, the model needs 400")
    [batch] = run([{"array": np.zeros(200), "sampling_rate": 8000}], lengths=ClipLengths(400))
    assert [clip.seconds for clip in batch.clips] == [0.025], "counted after resampling"


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_window_decides_what_is_decoded_hashed_and_sent(tmp_path: Path, num_workers: int):
    samples = sound(3.0, RATE)
    path = tmp_path / "clip.flac"
    path.write_bytes(encode(samples, RATE, "FLAC"))
    long = np.zeros(5_000_000, np.float32)  # too large to be sent whole
    data = [path, samples, SimpleNamespace(waveform=samples.tolist()), {"array": long, "sampling_rate": RATE}]
    (batch,) = run(data, batch_size=4, lengths=ClipLengths(window=RATE), num_workers=num_workers)
    assert batch.inputs == [RATE] * 4
    assert [clip.seconds for clip in batch.clips] == [3.0, 3.0, 3.0, 312.5]
    assert batch.clips[1].content == batch.clips[2].content == content_hash(samples[:RATE])
    assert batch.clips[0].content == content_hash(load(path, RATE).samples[:RATE])


class Greedy(Lengths):
    """Has no memory for clips of some length."""

    def __call__(self, waveforms: Sequence[np.ndarray]) -> list[int]:
        lengths = super().__call__(waveforms)
        if max(lengths) > 9_000:
            raise MemoryError
        return lengths


def test_a_clip_that_memory_runs_out_for_is_set_aside():
    (batch,) = run(clips_of(8_000, 10_000, 7_000), Greedy(), batch_size=3)
    assert batch.inputs == [8_000, 7_000]
    assert [(aside.clip, aside.reason) for aside in batch.quarantined] == [
        (1, "there is not the memory to make features of it")
    ]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_clip_that_featurise_refuses_is_found_and_set_aside(num_workers: int):
    found = run(clips_of(1, 2, 3, 4, 5, 6, 7, 8), Picky(2, 3, 5, 6, 7, 8), num_workers=num_workers)
    assert [batch.inputs for batch in found] == [[1, 4], None]
    assert [clip.id for batch in found for clip in batch.clips] == [0, 3]
    assert found[0].quarantined[1] == Quarantined(2, None, "3 is an unlucky length")
    assert [bad.clip for bad in found[1].quarantined] == [4, 5, 6, 7]


def test_an_audio_error_that_no_single_clip_causes_is_raised():
    def refuse_pairs(waveforms: Sequence[np.ndarray]) -> int:
        if len(waveforms) > 1:
            raise AudioError("not together")
        return 1

    with pytest.raises(AudioError, match="not together") as caught:
        run(clips_of(1, 2), refuse_pairs)
    assert caught.value.__notes__ == ["while preparing the clips 0 to 1"]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_any_other_error_is_raised_where_its_batch_would_have_come(num_workers: int):
    source = open_source(clips_of(1, 2, 3, 4, 5, 13, 7, 8, 9))
    stream = batches(source, sampling_rate=RATE, featurise=Broken(), batch_size=2, num_workers=num_workers, prefetch=4)
    assert [batch.inputs for batch in islice(stream, 2)] == [[1, 2], [3, 4]]
    with pytest.raises(ZeroDivisionError, match="a bug in the features") as caught:
        next(stream)
    assert "while preparing the clips 4 to 5" in caught.value.__notes__
    where = str(caught.value.__cause__) if num_workers else str(caught.traceback[-1])
    assert "test_batches.py" in where, "the place in featurise is shown"


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_of_the_source_comes_after_the_batches_before_it(num_workers: int):
    def clips() -> Iterator[np.ndarray]:
        yield from clips_of(1, 2, 3, 4)
        raise ConnectionError("the network went away")

    stream = batches(
        open_source(clips()), sampling_rate=RATE, featurise=Lengths(), batch_size=2, num_workers=num_workers, prefetch=4
    )
    assert [batch.inputs for batch in islice(stream, 2)] == [[1, 2], [3, 4]]
    with pytest.raises(ConnectionError, match="the network went away"):
        next(stream)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("batch_size", 0, "batch_size must be at least 1, it is 0"),
        ("num_workers", -1, "num_workers must be at least 0"),
        ("start", -4, "start must be at least 0"),
        ("prefetch", 0, "prefetch must be at least 1"),
        ("sampling_rate", 0, "sampling_rate must be at least 1"),
    ],
)
def test_options_out_of_range_are_refused_at_once(option: str, value: int, message: str):
    options = {"sampling_rate": RATE, "batch_size": 4, option: value}
    with pytest.raises(ValueError, match=message):
        batches(open_source([]), featurise=Lengths(), **options)
