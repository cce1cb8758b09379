"""Many jobs at a server, by a clock that the tests turn: order, patience, what is sent again and what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from nnsight.schema.response import Status

from and_nnsight.remote import Remote, RemoteRunError
from and_nnsight.remote.errors import explain_error, is_transient
from and_nnsight.remote.jobs import JobQueue
from and_nnsight.remote.server import JobFailed, JobLost, Unanswered


class Clock:
    """Time that passes only in `sleep`."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


class FakeJob:
    """Takes `seconds` from its start on, unless `fate` says, of a time since the start, what happens."""

    sent, received = 100, 10

    def __init__(self, server: FakeServer, payload: Any, fate: Callable[[float], Any] | None) -> None:
        self.server, self.payload, self.fate = server, payload, fate
        self.status: Status | None = None
        self.began = server.clock.now

    def ask(self) -> dict[str, Any] | None:
        self.server.asked += 1
        if not self.server.up:
            raise Unanswered("there is no answer")
        since = self.server.clock.now - self.began
        if self.fate is not None:
            said = self.fate(since)
            if isinstance(said, Exception):
                raise said
            if isinstance(said, Status) or said is None:
                self.status = said
                return None
            if said != "goes on":
                return said
        if since < 1:
            self.status = Status.QUEUED
            return None
        if since < self.server.seconds:
            self.status = Status.RUNNING
            return None
        self.status = Status.COMPLETED
        self.server.at_once -= 1
        return {"of": self.payload}


class FakeServer:
    """Jobs by payload; `fates[payload]` are those of its first, second, … job."""

    def __init__(self, seconds: float = 5.0) -> None:
        self.clock, self.seconds = Clock(), seconds
        self.fates: dict[Any, list[Callable[[float], Any]]] = {}
        self.sent: list[Any] = []
        self.asked = self.at_once = self.most_at_once = 0
        self.refusals: list[Exception] = []
        self.away: list[tuple[float, float]] = []
        self.told: list[str] = []

    @property
    def up(self) -> bool:
        return not any(start <= self.clock.now < end for start, end in self.away)

    def send(self, payload: Any) -> FakeJob:
        if self.refusals:
            raise self.refusals.pop(0)
        if not self.up:
            raise Unanswered("there is no answer")
        self.sent.append(payload)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        fates = self.fates.get(payload, [])
        return FakeJob(self, payload, fates.pop(0) if fates else None)

    def queue(self, **settings: Any) -> JobQueue[Any]:
        remote = Remote("http://there", **settings)
        return JobQueue(self.send, remote, tell=self.told.append, clock=self.clock, sleep=self.clock.sleep)


def run(queue: JobQueue[Any], payloads: int = 5) -> list[Any]:
    answers = list(queue.run(range(payloads)))
    assert [answer for _, answer in answers] == [{"of": payload} for payload, _ in answers]
    return [payload for payload, _ in answers]


def test_answers_come_in_the_order_of_the_payloads_however_long_each_takes() -> None:
    server = FakeServer()
    server.fates[0] = [lambda since: Status.RUNNING if since < 60 else "goes on"]
    assert run(server.queue(in_flight=3)) == [0, 1, 2, 3, 4]
    assert server.sent == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("in_flight", [1, 2, 4])
def test_so_many_jobs_are_at_the_server_at_once_and_no_more(in_flight: int) -> None:
    server = FakeServer()
    run(server.queue(in_flight=in_flight), 10)
    assert server.most_at_once == in_flight


def test_payloads_are_made_when_there_is_room_for_them() -> None:
    server, made = FakeServer(), []

    def make_payloads() -> Iterator[int]:
        for number in range(6):
            made.append(number)
            yield number

    answers = server.queue(in_flight=2).run(make_payloads())
    next(answers)
    assert made == [0, 1]


def test_no_payloads_are_no_jobs() -> None:
    server = FakeServer()
    assert run(server.queue(), 0) == []
    assert server.asked == 0


def test_what_went_over_the_wire_is_counted() -> None:
    server = FakeServer()
    server.fates[1] = [lambda since: JobLost("the server has forgotten it")]
    queue = server.queue()
    run(queue, 3)
    told = queue.traffic.to_json()
    assert (told["jobs"], told["sent_again"], told["bytes_up"], told["bytes_down"]) == (4, 1, 400, 30)
    assert 4 <= told["seconds_per_job"] <= 8


def test_a_job_is_not_asked_after_more_than_every_tenth_of_a_second_nor_less_than_every_other() -> None:
    server = FakeServer(seconds=100)
    run(server.queue(), 1)
    assert 50 <= server.asked <= 100


@pytest.mark.parametrize(
    "fate",
    [
        pytest.param(lambda since: JobLost("the server has forgotten it"), id="forgotten"),
        pytest.param(lambda since: JobLost("its answer is damaged"), id="damaged"),
        pytest.param(lambda since: JobFailed("Your job was cancelled or preempted by the server."), id="cancelled"),
        pytest.param(lambda since: JobFailed("Replica was evicted while processing your request."), id="evicted"),
        pytest.param(lambda since: JobFailed("Error starting model. Please try again later."), id="starting"),
        pytest.param(lambda since: None, id="never mentioned"),
        pytest.param(lambda since: Status.QUEUED, id="queued for ever"),
        pytest.param(lambda since: Status.RUNNING, id="running for ever"),
    ],
)
def test_a_job_that_comes_to_nothing_by_the_servers_fault_is_sent_again(fate: Callable[[float], Any]) -> None:
    server = FakeServer()
    server.fates[1] = [fate]
    queue = server.queue(deadline=300)
    assert run(queue) == [0, 1, 2, 3, 4]
    assert sorted(server.sent) == [0, 1, 1, 2, 3, 4]
    assert queue.traffic.sent_again == 1
    assert any(said.startswith("sending a job again: ") for said in server.told)


def test_a_job_that_was_never_mentioned_does_not_wait_for_the_deadline() -> None:
    server = FakeServer()
    server.fates[0] = [lambda since: None]
    run(server.queue(deadline=100_000), 1)
    assert server.clock.now < 200


def test_one_that_runs_ten_times_as_long_as_any_before_is_sent_again_and_a_first_one_is_waited_for() -> None:
    server = FakeServer(seconds=30)
    server.fates = {0: [lambda since: Status.RUNNING if since < 1_000 else "goes on"]}
    queue = server.queue(in_flight=1)
    run(queue, 1)
    assert queue.traffic.sent_again == 0
    server = FakeServer(seconds=30)
    server.fates = {1: [lambda since: Status.RUNNING]}
    queue = server.queue(in_flight=1)
    run(queue, 2)
    assert queue.traffic.sent_again == 1
    assert 300 < server.clock.now < 500


def test_retries_come_to_an_end_and_what_came_before_is_had() -> None:
    server = FakeServer()
    server.fates[2] = [lambda since: JobLost("the server has forgotten it")] * 9
    had = []
    with pytest.raises(RemoteRunError, match="sent 4 times and came to nothing, the last time because the server has"):
        had += [payload for payload, _ in server.queue(retries=3, in_flight=1).run(range(5))]
    assert server.sent.count(2) == 4
    assert server.sent == [0, 1, 2, 2, 2, 2]


def test_without_retries_a_lost_job_is_the_end_at_once() -> None:
    server = FakeServer()
    server.fates[0] = [lambda since: JobFailed("Your job was cancelled or preempted by the server.")]
    with pytest.raises(RemoteRunError, match="sent once and came to nothing, .* because the server says: Your job was"):
        run(server.queue(retries=0))
    assert server.sent.count(0) == 1


def test_an_error_of_the_job_itself_is_raised_at_once() -> None:
    server = FakeServer()
    server.fates[1] = [lambda since: JobFailed("Traceback (most recent call last):\n  File x\nKeyError: 'evicted'")]
    with pytest.raises(RemoteRunError, match="^a job failed at the server: KeyError: 'evicted'$"):
        run(server.queue())
    assert server.sent.count(1) == 1


def test_a_server_that_is_away_for_a_while_is_waited_for() -> None:
    server = FakeServer()
    server.away = [(3.0, 200.0)]
    queue = server.queue(patience=300)
    assert run(queue) == [0, 1, 2, 3, 4]
    assert any("there is no answer; trying again" in said for said in server.told)
    assert queue.traffic.sent_again == 0


def test_a_server_that_is_away_before_the_first_job_is_waited_for_with_growing_pauses() -> None:
    server = FakeServer()
    server.refusals = [Unanswered("it is not ready") for _ in range(5)]
    assert run(server.queue(), 1) == [0]
    assert server.clock.now > 1 + 2 + 4 + 8 + 16


@pytest.mark.parametrize("away_from", [0.0, 3.0])
def test_patience_comes_to_an_end(away_from: float) -> None:
    server = FakeServer()
    server.away = [(away_from, float("inf"))]
    with pytest.raises(RemoteRunError, match=r"^there is no answer, for \d+ s now: start the server again"):
        run(server.queue(patience=100))
    assert 100 <= server.clock.now < 150


def test_patience_is_for_one_silence_not_for_all_together() -> None:
    server = FakeServer(seconds=200)
    server.away = [(start, start + 60) for start in (10, 80, 150)]
    assert run(server.queue(patience=70), 1) == [0]


def test_after_a_silence_a_job_of_which_nothing_new_is_heard_is_sent_again_soon() -> None:
    server = FakeServer()
    lost = [lambda since: Status.RUNNING]
    server.fates = {2: list(lost), 3: list(lost)}
    server.away = [(12.0, 40.0)]
    queue = server.queue(in_flight=2)
    assert run(queue) == [0, 1, 2, 3, 4]
    assert queue.traffic.sent_again == 2
    assert server.clock.now < 150


def test_after_a_silence_a_job_that_goes_on_is_not_sent_again() -> None:
    server = FakeServer(seconds=20)
    server.away = [(22.0, 30.0)]
    queue = server.queue(in_flight=2)
    assert run(queue) == [0, 1, 2, 3, 4]
    assert queue.traffic.sent_again == 0


def test_a_refused_job_is_an_error_at_once() -> None:
    server = FakeServer()
    server.refusals = [RemoteRunError("no key")]
    with pytest.raises(RemoteRunError, match="no key"):
        run(server.queue())
    assert server.clock.now == 0


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Traceback (most recent call last):\n  File\ntorch.OutOfMemoryError: CUDA out of memory. Tried to", "^the server ran out of memory: lower batch_size"),
        ("The model architecture on this server doesn't match: it has no module at 'Module:model.x'.\n\nThis usually\nthen align", "other modules than this one: install .* here \\(The model architecture"),
        ("Your job exceeded the execution timeout of 60.0s.", "^the job took longer than the server allows: lower clips_per_job"),
        ("Traceback (most recent call last):\n  in execution\nRuntimeError: at run time\n", "^a job failed at the server: RuntimeError: at run time$"),
        ("Could not deploy this model. CANT_ACCOMMODATE: no room\nTraceback (most recent call last):\n  File …", r"^the server cannot load this model \(Could not deploy this model. CANT_ACCOMMODATE: no room\)$"),
        ("", "it does not say why"),
        ("\x1b[31mred\x1b[0m\x07 " + "x" * 900, r"^a job failed at the server:  ?\[31mred"),
    ],
)  # fmt: skip
def test_a_servers_error_is_explained_in_one_line(said: str, told: str) -> None:
    line = explain_error(said)
    import re

    assert re.search(told, line), line
    assert len(line) < 700
    assert line.isprintable()


def test_what_may_pass_is_told_from_what_will_not() -> None:
    assert is_transient("Service temporarily unavailable: compute backend is reconnecting.")
    assert is_transient(
        "Your request payload could not be read (ZstdError: damaged). Re-sending it usually resolves this"
    )
    assert not is_transient("Your request payload could not be read (ModuleNotFoundError: No module named 'mine').")
    assert not is_transient("Request cancelled by operator.")
    assert not is_transient("Traceback (most recent call last):\n  RuntimeError: try again later")
    assert is_transient(
        "Traceback (most recent call last):\n  File\nRuntimeError: CUDA error: device-side assert triggered"
    )
    assert is_transient(
        'Traceback (most recent call last):\n  File "ndif/services/ray/sandbox/host.py"\nBrokenPipeError: gone'
    )
    assert not is_transient("Could not deploy this model. CANT_ACCOMMODATE: placed 0 of 1 new replicas")
