from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from and_nnsight.audio.loading import AudioError, content_hash, load, to_waveform
from and_nnsight.data import Batch, Clip, ClipLengths, Quarantined, WorkerDied, batches, open_source, workers
from tests.damaged import encode, sound, write_damaged_folder

RATE = 16000


class Features:
    """Stands for a feature extractor: padded waveforms, a spectrogram, and how long each clip was."""

    def __call__(self, waveforms: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
        padded = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(w) for w in waveforms], batch_first=True)
        padded = torch.nn.functional.pad(padded, (0, max(0, 400 - padded.shape[1])))
        spectrum = torch.stft(padded, 400, 160, window=torch.hann_window(400), return_complex=True).abs()
        mixing = torch.linspace(-1, 1, 64 * 201).reshape(64, 201)
        lengths = torch.tensor([len(waveform) for waveform in waveforms])
        return {"waveforms": padded, "features": (mixing @ spectrum).tanh().transpose(1, 2), "lengths": lengths}


class Lengths:
    """The number of samples of each clip, and where it was computed."""

    def __call__(self, waveforms: Sequence[np.ndarray]) -> list[int]:
        return [len(waveform) for waveform in waveforms]


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


class Identity:
    """The process that a batch was made in, and its number of torch threads."""

    def __call__(self, waveforms: Sequence[np.ndarray]) -> tuple[int, int, bool]:
        return os.getpid(), torch.get_num_threads(), torch.is_grad_enabled()


class Slow(Identity):
    def __call__(self, waveforms: Sequence[np.ndarray]) -> tuple[int, int, bool]:
        time.sleep(0.2)
        return super().__call__(waveforms)


class Deadly(Lengths):
    """Ends its process as the kernel does when memory runs out, at a clip of 13 samples."""

    def __call__(self, waveforms: Sequence[np.ndarray]) -> list[int]:
        if any(len(waveform) == 13 for waveform in waveforms):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(waveforms)


def clips_of(*lengths: int) -> list[np.ndarray]:
    return [np.full(length, 0.1, np.float32) for length in lengths]


def run(data: object, featurise: object = None, *, limit: int | None = None, **options: object) -> list[Batch]:
    options = {"batch_size": 4, "sampling_rate": RATE, **options}
    return list(batches(open_source(data, limit=limit), featurise=featurise or Lengths(), **options))


def same(left: object, right: object) -> bool:
    """Equal, tensors bit for bit."""
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        return left.dtype == right.dtype and left.shape == right.shape and torch.equal(left, right)
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Batch) and isinstance(right, Batch):
        return same(vars(left), vars(right))
    return left == right


def alive(process: int) -> bool:
    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


def soon(condition, seconds: float = 120) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


# -- what a batch is ---------------------------------------------------------------------------------------------------


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
    limit=st.none() | st.integers(0, 50),
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


# -- clips that are set aside ------------------------------------------------------------------------------------------


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


# -- workers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("num_workers", "prefetch"), [(1, 1), (2, 2), (3, 1)])
def test_workers_give_the_same_batches_bit_for_bit_in_order(tmp_path: Path, num_workers: int, prefetch: int):
    write_damaged_folder(tmp_path)
    data = [
        *sorted(tmp_path.rglob("*.*")),
        *(encode(sound(0.3, 11025, seed=seed), 11025) for seed in range(5)),
        torch.from_numpy(sound(0.2, RATE)).to(torch.bfloat16),
        torch.zeros(1000, 300)[7],
        sound(0.1, 8000).tolist(),
        {"array": torch.from_numpy(sound(0.1, 8000, 2)), "sampling_rate": 8000},
        {"audio": sound(0.1, 8000), "sampling_rate": 8000, "label": "tone"},
        SimpleNamespace(waveform=sound(0.1, 8000), sampling_rate=8000, caption="a tone"),
        SimpleNamespace(get_all_samples=lambda: SimpleNamespace(data=torch.ones(2, 500), sample_rate=8000)),
        memoryview(encode(sound(0.1, RATE), RATE)),
        np.array([None, 1.0]),
        lambda: "no audio, and nothing that can be pickled",
        {"sound": 1},
        None,
        torch.tensor([0.0, float("nan")]),
    ]
    expected = run(data, Features(), batch_size=3)
    found = run(data, Features(), batch_size=3, num_workers=num_workers, prefetch=prefetch)
    assert same(found, expected)
    resumed = run(data, Features(), batch_size=3, num_workers=num_workers, prefetch=prefetch, start=9)
    assert same(resumed, expected[3:])


def test_work_is_spread_over_workers_of_one_thread_each_without_gradients():
    threads = torch.get_num_threads()
    found = [batch.inputs for batch in run(clips_of(*range(1, 17)), Identity(), num_workers=2, batch_size=2)]
    assert len({process for process, _, _ in found}) == 2
    assert os.getpid() not in {process for process, _, _ in found}
    assert {(count, grad) for _, count, grad in found} == {(1, False)}
    [here, *_] = [batch.inputs for batch in run(clips_of(1), Identity())]
    assert here == (os.getpid(), 1, False)
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()


def test_tensors_come_back_in_shared_memory():
    [batch] = run(clips_of(1000), Features(), num_workers=1)
    assert batch.inputs["features"].is_shared()


def test_few_batches_are_in_flight():
    read = 0

    def clips() -> Iterator[np.ndarray]:
        nonlocal read
        for clip in clips_of(*range(1, 101)):
            read += 1
            yield clip

    source = open_source(clips())
    stream = batches(source, sampling_rate=RATE, featurise=Lengths(), batch_size=2, num_workers=2, prefetch=3)
    for taken in range(1, 20):
        next(stream)
        assert read <= 2 * (taken + 2 * 3)
    stream.close()


def test_large_tasks_and_results_do_not_lock_each_other():
    data = [np.random.default_rng(seed).normal(size=400_000) for seed in range(16)]
    found = run(data, list, num_workers=2, batch_size=1, prefetch=4)  # arrays come back through the pipe itself
    assert [np.array_equal(batch.inputs[0], data[batch.position].astype(np.float32)) for batch in found] == [True] * 16


def test_a_function_that_cannot_be_pickled_is_refused_with_the_reason():
    with pytest.raises(TypeError, match="worker processes need a function that can be pickled"):
        run(clips_of(1), lambda waveforms: 1, num_workers=1)


@pytest.mark.parametrize("how", ["close", "forget", "break", "error"])
def test_a_stream_that_is_abandoned_leaves_no_process(how: str):
    stream = batches(
        open_source(clips_of(*range(1, 101))), sampling_rate=RATE, featurise=Slow(), batch_size=2, num_workers=2
    )
    workers = {next(stream).inputs[0], next(stream).inputs[0]}
    assert len(workers) == 2
    assert all(map(alive, workers))
    if how == "close":
        stream.close()
    elif how == "forget":
        del stream
    elif how == "break":
        for _ in stream:
            break
        del stream
    else:
        with pytest.raises(KeyboardInterrupt):
            stream.throw(KeyboardInterrupt())
    assert soon(lambda: not any(map(alive, workers)))


def test_a_stream_that_ends_leaves_no_process():
    workers = {batch.inputs[0] for batch in run(clips_of(*range(1, 9)), Identity(), num_workers=2, batch_size=1)}
    assert len(workers) == 2
    assert soon(lambda: not any(map(alive, workers)))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch):
    """Wait for as long as it takes until a worker's end is known: seconds, on a machine that is held back."""
    monkeypatch.setattr(workers, "_PATIENCE", 120.0)


@pytest.mark.usefixtures("patient")
def test_a_worker_that_dies_is_an_error():
    stream = batches(
        open_source(clips_of(1, 2, 3, 13, 5, 6)), sampling_rate=RATE, featurise=Deadly(), batch_size=1, num_workers=2
    )
    assert [batch.inputs for batch in islice(stream, 3)] == [[1], [2], [3]]
    with pytest.raises(WorkerDied, match="was ended by SIGKILL, most often because memory ran out: use fewer workers"):
        next(stream)


def test_an_error_that_cannot_be_pickled_still_says_what_it_was():
    with pytest.raises(RuntimeError, match="Unpicklable: it has a lambda"):
        run(clips_of(1), RaisesUnpicklable(), num_workers=1)
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        run(clips_of(1), ReturnsUnpicklable(), num_workers=1)


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("no")


class RaisesUnpicklable:
    def __call__(self, waveforms: Sequence[np.ndarray]):
        raise Unpicklable("it has a lambda")


class ReturnsUnpicklable:
    def __call__(self, waveforms: Sequence[np.ndarray]):
        return lambda: None


SCRIPT = textwrap.dedent(
    """
    import os, sys, time
    import numpy as np
    from and_nnsight.data import batches, workers, open_source

    def process(waveforms):
        time.sleep(0.05)
        return os.getpid()

    def main():
        source = open_source([np.ones(10, np.float32)] * 10_000)
        for batch in batches(source, sampling_rate=16000, featurise=process, batch_size=1, num_workers=2):
            print(batch.inputs, flush=True)
    """
)


def started(tmp_path: Path, ending: str) -> tuple[subprocess.Popen[str], set[int]]:
    """A script that reads batches, and its workers."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT + textwrap.dedent(ending))
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
        start_new_session=True,
    )
    assert process.stdout is not None
    return process, {int(line) for line in islice(process.stdout, 4)}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_program(tmp_path: Path, number: signal.Signals):
    process, workers = started(tmp_path, "if __name__ == '__main__': main()")
    assert len(workers) == 2
    if number == signal.SIGINT:  # as the terminal does: to the whole group
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=240)
    assert soon(lambda: not any(map(alive, workers)))
    if number == signal.SIGINT:
        assert errors.count("KeyboardInterrupt") <= 2, errors  # the program's own traceback, and none of a worker
        assert "clips-" not in errors


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_what_it_needs(tmp_path: Path):
    process, workers = started(tmp_path, "workers._PATIENCE = 120.0; main()")
    _, errors = process.communicate(timeout=240)
    assert workers == set()
    assert "needs `if __name__ == '__main__':` around its work" in errors


def test_what_travels_is_small():
    batch = run(clips_of(10), Lengths())[0]
    assert len(pickle.dumps(batch)) < 600
