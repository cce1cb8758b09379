"""Worker processes: the same batches in the same order, and nothing of them left behind."""

from __future__ import annotations

import os
import pickle
import signal
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

from and_nnsight.data import Batch, WorkerDied, batches, open_source, workers
from tests.damaged import encode, sound, write_damaged_folder
from tests.data.featurisers import RATE, Features, Lengths, clips_of, run
from tests.warm_python import Script, WarmPython


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


@pytest.mark.slow
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


@pytest.mark.slow
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
    import os, signal, sys, time
    import numpy as np
    from and_nnsight.data import batches, workers, open_source

    def process(waveforms):
        time.sleep(0.05)
        return os.getpid()

    def main():
        signal.signal(signal.SIGINT, signal.default_int_handler)  # as from a terminal, whatever this was started by
        source = open_source([np.ones(10, np.float32)] * 10_000)
        for batch in batches(source, sampling_rate=16000, featurise=process, batch_size=1, num_workers=2):
            print(batch.inputs, flush=True)
    """
)


def started(warm_python: WarmPython, tmp_path: Path, ending: str) -> Script:
    """A script that reads batches, in a session of its own."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT + textwrap.dedent(ending))
    return warm_python.start(script, before="os.setsid()")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_program(warm_python: WarmPython, tmp_path: Path, number: signal.Signals):
    process = started(warm_python, tmp_path, "if __name__ == '__main__': main()")
    assert soon(lambda: process.stdout.read_text().count("\n") >= 4), process.stderr.read_text()
    workers = {int(line) for line in process.stdout.read_text().splitlines()[:4]}
    assert len(workers) == 2
    if number == signal.SIGINT:  # as the terminal does: to the whole group
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    assert process.wait(240)
    assert soon(lambda: not any(map(alive, workers)))
    if number == signal.SIGINT:
        errors = process.stderr.read_text()
        assert errors.count("KeyboardInterrupt") <= 2, errors  # the program's own traceback, and none of a worker
        assert "clips-" not in errors


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_what_it_needs(warm_python: WarmPython, tmp_path: Path):
    process = started(warm_python, tmp_path, "workers._PATIENCE = 120.0; main()")
    assert process.wait(240) == 1
    assert process.stdout.read_text() == ""
    assert "needs `if __name__ == '__main__':` around its work" in process.stderr.read_text()


def test_what_travels_is_small():
    batch = run(clips_of(10), Lengths())[0]
    assert len(pickle.dumps(batch)) < 600


@pytest.mark.slow
@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="workers are not forked here")
def test_what_workers_need_is_imported_once_before_they_are_asked_for(warm_python: WarmPython, tmp_path: Path):
    """In the process that they are forked from: each then finds it there."""
    (tmp_path / "needed.py").write_text("import os\nimported_by = os.getpid()\n")
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, sys
            import numpy as np
            from and_nnsight.data import batches, open_source, workers

            def process(waveforms):
                return os.getpid(), sys.modules["needed"].imported_by

            if __name__ == "__main__":
                workers.import_for_workers(["and_nnsight.data.batching", "needed"])
                source = open_source([np.ones(10, np.float32)] * 4)
                options = dict(sampling_rate=16000, featurise=process, batch_size=1, num_workers=2)
                made = [batch.inputs for batch in batches(source, **options)]
                assert len({worker for worker, _ in made}) == 2
                (server,) = {server for _, server in made}
                assert server not in {os.getpid(), *(worker for worker, _ in made)}
                print("once")
            """
        )
    )
    assert warm_python.run(script, cwd=tmp_path).stdout == "once\n"
