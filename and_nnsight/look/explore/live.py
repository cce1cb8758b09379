"""Sound that comes in over a WebSocket, and what the units make of its last moments, a few times a second.

The page sends its rate first, as JSON: {"rate": 44100}; then chunks of float32 samples, and whenever it likes what it
wants to see, {"follow": [["SITE", 3], ...], "explained": true}. It is sent, as JSON, the units that stand out now and
those that it follows.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from ...audio.errors import AudioError
from ...audio.resampling import resample
from .background import in_background
from .hearing import Hearer, Response, UnitName
from .ring import Ring

HOP, LAST, MOST = 0.2, 0.5, 8  # seconds between updates at most often, seconds that are "now", units shown
MOST_LISTENERS, MOST_FOLLOWED = 4, 16
_LEAST_SECONDS = 0.25  # of sound, before anything is said of it
_RATES = (8_000, 192_000)
_LONGEST_CHUNK = 2.0  # seconds
_LONGEST_REASON = 120  # bytes: no more of a reason goes into the frame that closes a connection
_log = logging.getLogger(__name__)


class BadMessage(ValueError):
    """A message that the page would not send."""


@dataclass
class LiveRequest:
    """What a page wants to see: units that it follows, and whether only those are shown that something is said of."""

    follow: tuple[UnitName, ...] = ()
    explained: bool = True


@dataclass
class Stream:
    """One page's sound: its ring of samples, and what it wants to see."""

    rate: int
    ring: Ring
    request: LiveRequest = field(default_factory=LiveRequest)
    closed: bool = False


class LiveSounds:
    """Serves the pages that send sound, at most `MOST_LISTENERS` of them; the model answers one at a time."""

    def __init__(self, hearer: Hearer, explained: dict[str, np.ndarray]) -> None:
        self._hearer, self._explained = hearer, explained
        self._streams: set[int] = set()

    async def serve(self, socket: WebSocket) -> None:
        """Talk to one page until it goes."""
        await socket.accept()
        if len(self._streams) >= MOST_LISTENERS:
            await socket.close(1013, f"{MOST_LISTENERS} pages are listening already: close one")
            return
        self._streams.add(id(socket))
        try:
            stream = self._opened(await socket.receive())
            await self._talk(socket, stream)
        except BadMessage as error:
            await socket.close(1003, shortened(str(error)))
        except WebSocketDisconnect:
            pass
        except Exception as error:  # a model that fails: the page is told, and may begin again
            _log.exception("live sound failed")
            await socket.close(1011, shortened(f"the model failed ({type(error).__name__}: {error})"))
        finally:
            self._streams.discard(id(socket))

    async def _talk(self, socket: WebSocket, stream: Stream) -> None:
        """Take in and answer, until one of them ends. Raises what ended it."""
        tasks = [asyncio.create_task(each) for each in (self._take_in(socket, stream), self._answer(socket, stream))]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            stream.closed = True
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                _ = task.cancelled() or task.exception()  # seen, so that asyncio does not report it as lost

    def _opened(self, message: Any) -> Stream:
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        rate = _json(message).get("rate")
        if not isinstance(rate, int | float) or not _RATES[0] <= rate <= _RATES[1]:
            raise BadMessage(f"the first message names the rate, {_RATES[0]} to {_RATES[1]} Hz")
        seconds = self._hearer.live.seconds or 0.0
        return Stream(round(rate), Ring(round(seconds * round(rate))))

    async def _answer(self, socket: WebSocket, stream: Stream) -> None:
        """Say what the units make of the last moments, as often as the model allows, until the page goes."""
        said = 0
        while not stream.closed:
            fresh = stream.ring.total - said
            if fresh < HOP * stream.rate or stream.ring.total < _LEAST_SECONDS * stream.rate:
                await asyncio.sleep(0.01)
                continue
            said = stream.ring.total
            started = time.perf_counter()
            async with self._hearer.turn:
                now, followed = await in_background(self._hear, stream.ring.last(), stream.rate, stream.request)
            await socket.send_json(
                {
                    "seconds": said / stream.rate,
                    "took": time.perf_counter() - started,
                    "units": [each.to_json() for each in now],
                    "followed": [each.to_json() for each in followed],
                }
            )

    async def _take_in(self, socket: WebSocket, stream: Stream) -> None:
        """Take in what a page sends, until it goes. Raises BadMessage for what a page would not send."""
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("bytes") is not None:
                stream.ring.put(_samples(message["bytes"], stream.rate))
                continue
            request = _request(_json(message))
            if not all(self._hearer.has(*unit) for unit in request.follow):
                raise BadMessage("a unit that is followed is one that the dissection has")
            stream.request = request

    def _hear(self, samples: np.ndarray, rate: int, request: LiveRequest) -> tuple[list[Response], list[Response]]:
        wave = resample(samples, rate, self._hearer.rate)
        among = self._explained if request.explained else None
        try:
            return self._hearer.now(wave, LAST, MOST, request.follow, among)
        except AudioError:  # too short for this model, yet
            return [], []


def _samples(chunk: bytes, rate: int) -> np.ndarray:
    if len(chunk) % 4 or len(chunk) > 4 * _LONGEST_CHUNK * rate:
        raise BadMessage(f"a chunk is float32 samples, at most {_LONGEST_CHUNK:g} s of them")
    samples = np.frombuffer(chunk, "<f4")
    return np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0).clip(-8.0, 8.0)


def _json(message: Any) -> dict[str, Any]:
    try:
        value = json.loads(message.get("text") or "")
    except (ValueError, RecursionError) as error:
        raise BadMessage("a message is JSON or samples") from error
    if not isinstance(value, dict):
        raise BadMessage("a message is a JSON object")
    return value


def _request(value: dict[str, Any]) -> LiveRequest:
    follow = value.get("follow", [])
    if not isinstance(follow, list) or len(follow) > MOST_FOLLOWED:
        raise BadMessage(f"follow is a list of at most {MOST_FOLLOWED} units")
    pairs = [each for each in follow if isinstance(each, list) and len(each) == 2]
    units = tuple((str(site), unit) for site, unit in pairs if isinstance(unit, int) and unit >= 0)
    if len(units) != len(follow):
        raise BadMessage("a unit is a site and a number")
    return LiveRequest(units, bool(value.get("explained", True)))


def shortened(reason: str) -> str:
    """A reason for closing a connection, no longer than it may be."""
    return reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
