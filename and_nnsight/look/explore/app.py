"""The page's server: what it answers, and to whom."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from ...explain.read.search import Match, search
from ..drawing import bars_path
from ..rendering import render
from ..site_view import site_views
from .background import in_background
from .cards import card_of
from .catalogue import MOST, Entry
from .guard import Guard
from .hearing import UnitName
from .live import shortened
from .opened import OpenedDissection
from .sounds import HeardSound

T = TypeVar("T")
_log = logging.getLogger(__name__)
_MOST_UNITS = 64  # that are changed at once
_MOST_GAIN = 1000
_MOST_DIGITS = 10
_ANSWERED = 12  # units that answer to a sound
_NEIGHBOURS = 8


class BadRequest(ValueError):
    """A request that the page would not make."""


class ExploreServer:
    """Answers the page about some dissections. Whatever takes time runs in a thread, the model for one at a time."""

    def __init__(self, opened: Sequence[OpenedDissection]) -> None:
        self._opened = opened

    def app(self, token: str, port: int) -> Guard:
        """The ASGI application, which only lets the page's own browser in."""
        answers = {
            "/": self._page,
            "/card": self._card,
            "/sound/{key}": self._sound,
            "/api/overview": self._overview,
            "/api/unit": self._unit,
            "/api/units": self._units,
            "/api/search": self._search,
            "/api/neighbours": self._neighbours,
        }
        routes: list[Any] = [Route(path, _answering(answer)) for path, answer in answers.items()]
        routes += [
            Route("/api/sound", _answering(self._hear), methods=["POST"]),
            Route("/api/need", _answering(self._need), methods=["POST"]),
            Route("/api/change", _answering(self._change), methods=["POST"]),
            WebSocketRoute("/live", self._live),
        ]
        app = Starlette(routes=routes)
        app.mount("/static", StaticFiles(packages=[("and_nnsight.look", "static")]))
        return Guard(app, token, port)

    # -- what there is ---------------------------------------------------------------------------------------------

    async def _page(self, request: Request) -> Response:
        shapes = [
            bars_path(site.bars, 96, 16)
            for opened in self._opened
            for site in site_views(opened.dissection, opened.catalogue.standings, [])
        ]
        return HTMLResponse(render("explore.html.jinja", title="and-nnsight explore", shapes=shapes))

    async def _overview(self, request: Request) -> Response:
        return JSONResponse({"dissections": [await in_background(_about, opened) for opened in self._opened]})

    async def _units(self, request: Request) -> Response:
        query, catalogue = request.query_params, self._of(request).catalogue
        entries = await in_background(
            catalogue.chosen, query.get("text", ""), query.get("site", ""), query.get("standing", ""),
            query.get("sort", "selectivity"),
        )  # fmt: skip
        offset = _number(query.get("offset", "0"))
        return JSONResponse(
            {"total": len(entries), "units": [_entry(each) for each in entries[offset : offset + MOST]]}
        )

    async def _card(self, request: Request) -> Response:
        opened, (site, unit) = self._of(request), _unit(request)
        number = sum(len(each.dissection.sites) for each in self._opened[: self._opened.index(opened)])
        if opened.hearer is not None and await in_background(opened.lacks, site, unit):
            return JSONResponse(await _in_turn(request, opened, card_of, opened, site, unit, number))
        return JSONResponse(await in_background(card_of, opened, site, unit, number))

    async def _unit(self, request: Request) -> Response:
        opened, at = self._of(request), _unit(request)
        if at not in opened.catalogue.entries:
            raise BadRequest("there is no such unit")
        return JSONResponse(_entry(opened.catalogue.entries[at]))

    async def _search(self, request: Request) -> Response:
        opened, text = self._of(request), request.query_params.get("text", "")
        matches = await in_background(search, opened.dissection, text, most=MOST // 2)
        return JSONResponse({"units": [_match(opened, match) for match in matches]})

    async def _neighbours(self, request: Request) -> Response:
        opened, at = self._of(request), _unit(request)
        if at not in opened.catalogue.entries:
            raise BadRequest("there is no such unit")
        other = self._opened[
            _number(request.query_params.get("other", str(self._opened.index(opened))), len(self._opened))
        ]
        near = await in_background(opened.neighbours, at, other, _NEIGHBOURS)
        units = [{**_entry(other.catalogue.entries[each.site, each.unit]), "overlap": each.overlap} for each in near]
        return JSONResponse({"units": units})

    # -- what is heard ---------------------------------------------------------------------------------------------

    async def _hear(self, request: Request) -> Response:
        """The units that answer to a sound that was dropped or recorded."""
        opened, content = self._of(request), await request.body()
        explained = request.query_params.get("explained", "1") == "1"
        return JSONResponse(await _in_turn(request, opened, _answers_to, opened, content, explained))

    async def _sound(self, request: Request) -> Response:
        sound = self._kept(self._of(request), request.path_params["key"])
        return Response(sound.flac, media_type="audio/flac")

    async def _change(self, request: Request) -> Response:
        """What the model says of a sound, or of an exemplar, with units silenced or amplified."""
        opened, asked = self._of(request), _json_object(await request.body())
        units = _units_of(asked.get("units"), opened)
        how, gain = str(asked.get("how", "zero")), asked.get("gain")
        if gain is not None and not (isinstance(gain, int | float) and abs(gain) <= _MOST_GAIN):
            raise BadRequest(f"the gain is a number from {-_MOST_GAIN} to {_MOST_GAIN}")
        samples = self._samples(opened, asked)
        gain = None if gain is None else float(gain)
        said = await _in_turn(request, opened, opened.change, samples, units, how, gain)
        return JSONResponse(asdict(said))

    async def _need(self, request: Request) -> Response:
        """What a unit needs of one of its exemplars, to hear."""
        opened, (site, unit) = self._of(request), _unit(request)
        clip = _number(request.query_params.get("clip", ""))
        return JSONResponse(asdict(await _in_turn(request, opened, opened.need, site, unit, clip)))

    async def _live(self, socket: WebSocket) -> None:
        try:
            opened = self._opened[_number(socket.query_params.get("d", "0"), len(self._opened))]
            opened.listening()
        except ValueError as error:
            await socket.close(1011, shortened(str(error)))
            return
        await opened.live.serve(socket)

    def _samples(self, opened: OpenedDissection, asked: dict[str, Any]) -> Any:
        if isinstance(asked.get("sound"), str):
            return self._kept(opened, asked["sound"]).samples
        clip = asked.get("clip")
        if not isinstance(clip, int):
            raise BadRequest("name a sound, or a clip")
        return opened.dissection.exemplars().audio(clip)[0]

    def _kept(self, opened: OpenedDissection, key: str) -> HeardSound:
        opened.listening()
        sound = opened.sounds.get(key)
        if sound is None:
            raise BadRequest("this sound is gone: drop or record it again")
        return sound

    def _of(self, request: Request) -> OpenedDissection:
        return self._opened[_number(request.query_params.get("d", "0"), len(self._opened))]


def _answering(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """An answer of which what goes wrong is said in a sentence: our errors are ValueErrors."""

    async def answering(request: Request) -> Response:
        try:
            return await answer(request)
        except ClientDisconnect:
            return JSONResponse({"error": "too large, or cut off"}, 413)
        except asyncio.CancelledError:
            return JSONResponse({"error": "the server was stopped"}, 503)
        except (ValueError, OSError) as error:
            return JSONResponse({"error": str(error)}, 400)
        except Exception as error:  # memory that ran out, a model that fails: the page goes on, the terminal says where
            _log.exception("this failed: %s", request.url.path)
            reason = f"{type(error).__name__}: {error}"
            return JSONResponse({"error": f"the server failed at this ({reason}): its terminal says where"}, 500)

    return answering


async def _in_turn(request: Request, opened: OpenedDissection, work: Callable[..., T], *arguments: Any) -> T:
    """What runs the model: in the order of asking, and not for a page that went while it waited."""
    async with opened.listening().turn:
        if await request.is_disconnected():
            raise ClientDisconnect
        return await in_background(work, *arguments)


def _about(opened: OpenedDissection) -> dict[str, Any]:
    """A dissection in a glance: which model and data, its sites, what can be done with it."""
    manifest, catalogue = opened.dissection.manifest, opened.catalogue
    speaker = opened.speaker
    hearer = opened.hearer
    return {
        "name": str(opened.dissection.folder),
        "model": manifest.model.id or manifest.model.class_name,
        "data": manifest.dataset.name,
        "clips": manifest.clips,
        "units": sum(manifest.widths.values()),
        "explained": sum(each.text is not None for each in catalogue.entries.values()),
        "standings": [
            {"key": standing.key, "word": standing.word, "count": count}
            for standing, count in catalogue.standing_counts().items()
        ],
        "sites": [{"name": site.name, "units": site.width} for site in manifest.sites],
        "silent": opened.silent,
        "doubt": opened.doubt,
        "unreadable": speaker if isinstance(speaker, str) else None,
        "live": None if hearer is None else {"seconds": hearer.live.seconds, "shortened": hearer.live.shortened},
    }


def _entry(entry: Entry) -> dict[str, Any]:
    standing = entry.standing
    return {
        "site": entry.site,
        "unit": entry.unit,
        "text": entry.text,
        "label": entry.label,
        "standing": standing.key,
        "word": standing.word,
        "selectivity": entry.selectivity,
    }


def _match(opened: OpenedDissection, match: Match) -> dict[str, Any]:
    return {**_entry(opened.catalogue.entries[match.site, match.unit]), "matched": match.matched, "score": match.score}


def _answers_to(opened: OpenedDissection, content: bytes, explained: bool) -> dict[str, Any]:
    hearer = opened.listening()
    sound = opened.sounds.add(content)
    among = opened.catalogue.explained if explained and opened.catalogue.explained_any else None
    answers = hearer.whole(sound.samples, _ANSWERED, among)
    curves = hearer.curves(sound.samples, [(each.site, each.unit) for each in answers])
    return {
        "key": sound.key,
        "seconds": sound.seconds,
        "picture": sound.picture,
        "units": [
            {
                **_entry(opened.catalogue.entries[answer.site, answer.unit]),
                **answer.to_json(),
                "start": curve.start.tolist(),
                "curve": [None if value == float("-inf") else value for value in curve.deviation.tolist()],
            }
            for answer, curve in zip(answers, curves, strict=True)
        ],
    }


def _unit(request: Request) -> UnitName:
    return request.query_params.get("site", ""), _number(request.query_params.get("unit", ""))


def _units_of(value: Any, opened: OpenedDissection) -> list[UnitName]:
    """The units that a request names. Raises BadRequest for what names none."""
    if not isinstance(value, list) or len(value) > _MOST_UNITS:
        raise BadRequest(f"units is a list of at most {_MOST_UNITS} units")
    return [_unit_of(each, opened) for each in value]


def _unit_of(value: Any, opened: OpenedDissection) -> UnitName:
    match value:
        case [str(site), int(unit)] if (site, unit) in opened.catalogue.entries:
            return site, unit
    raise BadRequest("a unit is a site and a number that the dissection has")


def _number(text: str, below: int = 2**31) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > _MOST_DIGITS or int(text) >= below:
        raise BadRequest("not a number that there is")
    return int(text)


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadRequest("the request is no JSON") from error
    if not isinstance(value, dict):
        raise BadRequest("the request is no JSON object")
    return value
