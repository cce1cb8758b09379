"""Jobs at a server: a bounded number at once, each until its answer is home, in the order in which they were sent."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from nnsight.schema.response import Status

from .errors import explain_error, is_transient, last_line
from .server import JobFailed, JobLost, Unanswered
from .settings import Remote, RemoteRunError

P = TypeVar("P")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_LONGEST_BACK_OFF = 30.0
_UNSEEN = 120.0  # seconds after which a job of which the server never said a word is lost
_STALLED = 120.0  # a running job is not taken for lost before so many seconds, or ten times what the longest one took
# A server that was away may have lost its jobs, and says of them for ever what it said last. After it is back, one of
# which nothing new is heard for so many seconds (or five times what the longest one took) is sent again.
_AFTER_SILENCE, _BEFORE_ANY_ANSWER = 20.0, 60.0


@runtime_checkable
class AtServer(Protocol):
    """A job at the server, as `server.Job` is one. `status` is what the server last said of it; None: nothing yet."""

    status: Status | None
    sent: int
    received: int

    def ask(self) -> dict[str, Any] | None:
        """The answer, if there is one."""
        ...


@dataclass
class _JobInFlight(Generic[P]):
    payload: P
    job: AtServer
    sent_at: float
    last_news: float
    attempts: int = 1
    running_since: float | None = None
    answer: dict[str, Any] | None = None


@dataclass
class Traffic:
    """What went over the wire, and how the jobs went."""

    jobs: int = 0
    sent_again: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    seconds: list[float] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return {
            "jobs": self.jobs,
            "sent_again": self.sent_again,
            "bytes_up": self.bytes_up,
            "bytes_down": self.bytes_down,
            "seconds_per_job": round(sum(self.seconds) / max(len(self.seconds), 1), 3),
        }


class JobQueue(Generic[P]):
    """Sends payloads as jobs and yields each with its answer, in order.

    `send` makes a job of a payload: it raises Unanswered for a server that may yet answer. `tell` is called with a few
    words on what the server is doing. `clock` and `sleep` are there for tests.
    """

    def __init__(
        self,
        send: Callable[[P], AtServer],
        settings: Remote,
        *,
        tell: Callable[[str], None] = lambda status: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._send, self._settings, self._tell = send, settings, tell
        self._clock, self._sleep = clock, sleep
        self._in_flight: deque[_JobInFlight[P]] = deque()
        self._silent_since: float | None = None
        self._back_since = -float("inf")
        self._slowest = 0.0
        self.traffic = Traffic()

    def run(self, payloads: Iterable[P]) -> Iterator[tuple[P, dict[str, Any]]]:
        """Every payload with its answer, in order. Raises RemoteRunError if it cannot go on."""
        waiting = iter(payloads)
        pause = _FIRST_PAUSE
        while self._fill(waiting):
            news = [self._poll(flight) for flight in list(self._in_flight) if flight.answer is None]
            while self._in_flight and (answer := self._in_flight[0].answer) is not None:
                yield self._in_flight.popleft().payload, answer
                news.append(True)
            if any(news):
                pause = _FIRST_PAUSE
            elif self._in_flight:
                pause = self._wait(pause)

    def _fill(self, waiting: Iterator[P]) -> bool:
        """Send as many payloads as may be at the server at once. False where nothing is left, there or here."""
        while len(self._in_flight) < self._settings.in_flight:
            payload = next(waiting, None)
            if payload is None:
                break
            job, now = self._launch(payload), self._clock()
            self._in_flight.append(_JobInFlight(payload, job, now, now))
        return bool(self._in_flight)

    def _wait(self, pause: float) -> float:
        """Wait for news; gives how long the next pause is."""
        if self._silent_since is None:
            self._tell(self._status())
        self._sleep(pause)
        longest = max(self._slowest / 5, _FIRST_PAUSE) if self._slowest else _LONGEST_PAUSE
        return min(2 * pause, longest, _LONGEST_PAUSE)

    def _launch(self, payload: P) -> AtServer:
        back_off = 1.0
        while True:
            try:
                job = self._send(payload)
            except Unanswered as error:
                self._wait_for_answer(error)
                self._sleep(back_off)
                back_off = min(2 * back_off, _LONGEST_BACK_OFF)
                continue
            self._note_answer()
            self.traffic.jobs += bool(job.sent)
            self.traffic.bytes_up += job.sent
            return job

    def _note_answer(self) -> float:
        """The server answered; gives when: now."""
        now = self._clock()
        if self._silent_since is not None:
            self._silent_since, self._back_since = None, now
        return now

    def _wait_for_answer(self, error: Unanswered) -> None:
        """Be patient with a server that does not answer. Raises RemoteRunError when patience is at its end."""
        now = self._clock()
        if self._silent_since is None:
            self._silent_since = now
        silent = now - self._silent_since
        if silent >= self._settings.patience:
            raise RemoteRunError(f"{error}, for {silent:.0f} s now: start the server again, or check the network")
        self._tell(f"{error}; trying again")

    def _poll(self, flight: _JobInFlight[P]) -> bool:
        """Ask after a job; True if there is news."""
        before = flight.job.status
        try:
            answer = flight.job.ask()
        except Unanswered as error:
            self._wait_for_answer(error)
            return False
        except JobLost as error:
            return self._resend(flight, str(error))
        except JobFailed as error:
            if not is_transient(str(error)):
                raise RemoteRunError(explain_error(str(error))) from error
            return self._resend(flight, f"the server says: {last_line(str(error))}")
        now = self._note_answer()
        news = answer is not None or flight.job.status != before
        if news:
            flight.last_news = now
        if answer is not None:
            self._land(flight, answer, now)
            return True
        if flight.job.status != Status.RUNNING:
            flight.running_since = None  # a job whose replica was evicted goes back to the queue
        elif flight.running_since is None:
            flight.running_since = now
        why = self._given_up(flight, now)
        return self._resend(flight, why) if why else news

    def _land(self, flight: _JobInFlight[P], answer: dict[str, Any], now: float) -> None:
        """A job's answer is home."""
        took = now - (flight.sent_at if flight.running_since is None else flight.running_since)
        self._slowest = max(self._slowest, took)
        if flight.job.sent:
            self.traffic.seconds.append(took)
        self.traffic.bytes_down += flight.job.received
        flight.answer = answer

    def _given_up(self, flight: _JobInFlight[P], now: float) -> str:
        """Why a job that has no answer yet is taken for lost; "" if it is not."""
        if now - flight.sent_at > self._settings.deadline:
            return f"it has not ended within {self._settings.deadline:g} s"
        if flight.job.status is None and now - flight.sent_at > _UNSEEN:
            return "the server never mentioned it"
        patience = max(_AFTER_SILENCE, 5 * self._slowest) if self._slowest else _BEFORE_ANY_ANSWER
        if flight.sent_at < self._back_since and now - max(flight.last_news, self._back_since) > patience:
            return "the server was away, and has said nothing of it since"
        stalled = max(_STALLED, 10 * self._slowest)
        if self._slowest and flight.running_since is not None and now - flight.running_since > stalled:
            return f"it has been running for {stalled:.0f} s, ten times as long as any before it"
        return ""

    def _resend(self, flight: _JobInFlight[P], why: str) -> bool:
        """Send a job again. Raises RemoteRunError if that was done often enough."""
        if flight.attempts > self._settings.retries:
            times = "once" if flight.attempts == 1 else f"{flight.attempts} times"
            raise RemoteRunError(f"a job was sent {times} and came to nothing, the last time because {why}")
        self._tell(f"sending a job again: {why}")
        self._sleep(min(2.0 ** (flight.attempts - 1), _LONGEST_BACK_OFF))
        flight.job = self._launch(flight.payload)
        flight.sent_at = flight.last_news = self._clock()
        flight.running_since = None
        flight.attempts += 1
        self.traffic.sent_again += 1
        return True

    def _status(self) -> str:
        status = self._in_flight[0].job.status
        jobs = "1 job" if len(self._in_flight) == 1 else f"{len(self._in_flight)} jobs"
        return f"{jobs} at the server, the first {status.value.lower() if status else 'sent'}"
