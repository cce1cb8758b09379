"""Jobs at a server: a bounded number at once, each until its answer is home, in the order in which they were sent."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from nnsight.schema.response import Status

from .errors import explained, gist, passing
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
class _Sent(Generic[P]):
    payload: P
    job: AtServer
    at: float
    heard_at: float
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

    `send` makes a job of a payload: it raises Unanswered for a server that may yet answer. `tell` is told, in a few
    words, what the server is doing. `clock` and `sleep` are there for tests.
    """

    def __init__(
        self,
        send: Callable[[P], AtServer],
        settings: Remote,
        *,
        tell: Callable[[str], None] = lambda said: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._send, self._settings, self._tell = send, settings, tell
        self._clock, self._sleep = clock, sleep
        self._sent: deque[_Sent[P]] = deque()
        self._silent_since: float | None = None
        self._back_since = -float("inf")
        self._slowest = 0.0
        self.traffic = Traffic()

    def run(self, payloads: Iterable[P]) -> Iterator[tuple[P, dict[str, Any]]]:
        """Every payload with its answer, in order. Raises RemoteRunError if it cannot go on."""
        waiting = iter(payloads)
        pause, more = _FIRST_PAUSE, True
        while more or self._sent:
            while more and len(self._sent) < self._settings.in_flight:
                payload = next(waiting, None)
                if payload is None:
                    more = False
                    break
                job, now = self._launch(payload), self._clock()
                self._sent.append(_Sent(payload, job, now, now))
            news = [self._look(sent) for sent in list(self._sent) if sent.answer is None]
            while self._sent and (answer := self._sent[0].answer) is not None:
                sent = self._sent.popleft()
                yield sent.payload, answer
                news.append(True)
            if any(news):
                pause = _FIRST_PAUSE
            elif self._sent:
                if self._silent_since is None:
                    self._tell(self._state())
                self._sleep(pause)
                longest = max(self._slowest / 5, _FIRST_PAUSE) if self._slowest else _LONGEST_PAUSE
                pause = min(2 * pause, longest, _LONGEST_PAUSE)

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
            self._heard()
            self.traffic.jobs += bool(job.sent)
            self.traffic.bytes_up += job.sent
            return job

    def _heard(self) -> float:
        """The server answered, now."""
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

    def _look(self, sent: _Sent[P]) -> bool:
        """Ask after a job; True if there is news."""
        before = sent.job.status
        try:
            answer = sent.job.ask()
        except Unanswered as error:
            self._wait_for_answer(error)
            return False
        except JobLost as error:
            return self._again(sent, str(error))
        except JobFailed as error:
            if not passing(str(error)):
                raise RemoteRunError(explained(str(error))) from error
            return self._again(sent, f"the server says: {gist(str(error))}")
        now = self._heard()
        news = answer is not None or sent.job.status != before
        if news:
            sent.heard_at = now
        if answer is not None:
            took = now - (sent.at if sent.running_since is None else sent.running_since)
            self._slowest = max(self._slowest, took)
            if sent.job.sent:
                self.traffic.seconds.append(took)
            self.traffic.bytes_down += sent.job.received
            sent.answer = answer
        elif sent.job.status != Status.RUNNING:
            sent.running_since = None  # a job whose replica was evicted goes back to the queue
        elif sent.running_since is None:
            sent.running_since = now
        if answer is None and (why := self._given_up(sent, now)):
            return self._again(sent, why)
        return news

    def _given_up(self, sent: _Sent[P], now: float) -> str:
        """Why a job that has no answer yet is taken for lost; "" if it is not."""
        if now - sent.at > self._settings.deadline:
            return f"it has not ended within {self._settings.deadline:g} s"
        if sent.job.status is None and now - sent.at > _UNSEEN:
            return "the server never mentioned it"
        patience = max(_AFTER_SILENCE, 5 * self._slowest) if self._slowest else _BEFORE_ANY_ANSWER
        if sent.at < self._back_since and now - max(sent.heard_at, self._back_since) > patience:
            return "the server was away, and has said nothing of it since"
        stalled = max(_STALLED, 10 * self._slowest)
        if self._slowest and sent.running_since is not None and now - sent.running_since > stalled:
            return f"it has been running for {stalled:.0f} s, ten times as long as any before it"
        return ""

    def _again(self, sent: _Sent[P], why: str) -> bool:
        """Send a job again. Raises RemoteRunError if that was done often enough."""
        if sent.attempts > self._settings.retries:
            times = "once" if sent.attempts == 1 else f"{sent.attempts} times"
            raise RemoteRunError(f"a job was sent {times} and came to nothing, the last time because {why}")
        self._tell(f"sending a job again: {why}")
        self._sleep(min(2.0 ** (sent.attempts - 1), _LONGEST_BACK_OFF))
        sent.job = self._launch(sent.payload)
        sent.at = sent.heard_at = self._clock()
        sent.running_since = None
        sent.attempts += 1
        self.traffic.sent_again += 1
        return True

    def _state(self) -> str:
        status = self._sent[0].job.status
        jobs = "1 job" if len(self._sent) == 1 else f"{len(self._sent)} jobs"
        return f"{jobs} at the server, the first {status.value.lower() if status else 'sent'}"
