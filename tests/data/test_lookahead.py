"""A thread that is a step ahead: the same results in order, computed as one thread would, and no thread left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice

import pytest
import torch

from and_nnsight.data import lookahead
from and_nnsight.data.lookahead import map_ahead


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "clips"]


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def tasks(count: int, made: list[int]) -> Iterator[int]:
    for task in range(count):
        made.append(task)
        yield task


def where(task: int) -> tuple[int, str]:
    return task, threading.current_thread().name


def test_results_come_in_order_and_one_is_made_ahead() -> None:
    made: list[int] = []
    results = map_ahead(where, tasks(5, made))
    assert made == []
    for number, result in enumerate(results):
        assert result == (number, "clips")
        assert made == list(range(min(5, number + 2)))
    assert list(map_ahead(where, [])) == []


def test_the_next_result_is_made_while_one_is_used() -> None:
    came = [threading.Event() for _ in range(3)]
    for number, _ in enumerate(map_ahead(lambda task: came[task].set(), range(3))):
        assert came[min(2, number + 1)].wait(60)


@pytest.mark.usefixtures("two_threads")
def test_it_computes_alone_and_the_caller_with_all_threads() -> None:
    def counts(_: int) -> list[str]:
        return [line.strip() for line in torch.__config__.parallel_info().splitlines() if "get_max_threads" in line]

    here = counts(0)
    assert all(line.endswith(": 2") for line in here)
    for there in map_ahead(counts, range(3)):
        assert there == [line.replace(": 2", ": 1") for line in here]
        assert counts(0) == here
        torch.set_num_threads(1)
        torch.set_num_threads(2)


@pytest.mark.usefixtures("two_threads")
def test_results_have_the_bits_of_one_thread() -> None:
    def features(seed: int) -> torch.Tensor:
        noise = torch.randn(4, 16_000, generator=torch.Generator().manual_seed(seed))
        spectrum = torch.stft(noise, 400, 160, window=torch.hann_window(400), return_complex=True).abs() ** 2
        return (torch.rand(80, 201, generator=torch.Generator().manual_seed(1)) @ spectrum).log10().softmax(1)

    ahead = list(map_ahead(features, range(4)))
    torch.set_num_threads(1)
    assert all(map(torch.equal, ahead, map(features, range(4))))


def test_where_torch_does_not_let_threads_differ_everything_is_made_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookahead, "_has_one_torch_thread", lambda _: False)
    made: list[int] = []
    name = threading.current_thread().name
    assert list(map_ahead(where, tasks(3, made))) == [(0, name), (1, name), (2, name)]
    with pytest.raises(ConnectionError, match="away"):
        list(map_ahead(where, failing_tasks()))


def failing_tasks() -> Iterator[int]:
    yield from (0, 1)
    raise ConnectionError("the network went away")


def test_an_error_of_the_tasks_comes_after_the_results_before_it() -> None:
    results = map_ahead(where, failing_tasks())
    assert [task for task, _ in islice(results, 2)] == [0, 1]
    with pytest.raises(ConnectionError, match="away"):
        next(results)


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), KeyboardInterrupt(), SystemExit(3)])
def test_what_the_function_raises_comes_where_its_result_would_have(error: BaseException) -> None:
    def fail(task: int) -> int:
        if task == 2:
            raise error
        return task

    results = map_ahead(fail, range(5))
    assert list(islice(results, 2)) == [0, 1]
    with pytest.raises(type(error)) as caught:
        next(results)
    assert caught.value is error
    assert "fail" in str(caught.traceback[-1]), "the place is shown"


def test_closing_waits_for_the_task_it_is_at_and_makes_no_more() -> None:
    done: list[int] = []
    results = map_ahead(done.append, range(100))
    next(results)
    results.close()
    assert len(done) <= 2


def test_an_interruption_while_a_result_is_used_ends_the_thread() -> None:
    with pytest.raises(KeyboardInterrupt):
        for _ in map_ahead(where, range(9)):
            raise KeyboardInterrupt
