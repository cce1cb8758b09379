"""A loopback NDIF: nnsight 0.8's remote clients talk to it unmodified, and it can be told to misbehave.

    python -P ndif_server.py [--port 8000] [--settings '{"dtype": "bfloat16"}'] [--store FOLDER]

Statuses, their order and their wording, the HTTP codes and what is kept for whom follow ndif 0.1.2; blocks run in the
server's own process, as they do there for trusted callers. Models are read from the folder that a request names.
`Settings` are given at start or changed while running (POST /_faults). GET /_log tells what each job was and how many
bytes went each way: HTTP bodies and websocket frames, without headers, and without the calls that start with `/_`.

Run it where the package under test cannot be imported: shipping code by value is then really exercised.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import io
import json
import linecache
import os
import pickle
import socket
import sys
import threading
import time
import traceback
import types
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

# Before nnsight, which hangs `save` on every object: classes that anyio defines later would refuse it.
import anyio._backends._asyncio
import anyio.abc  # noqa: F401
import cloudpickle
import torch
import uvicorn
import zstandard
from fastapi import Depends, FastAPI, File, Form, Header, HTTPException, Request, Response, UploadFile, WebSocket
from nnsight.intervention.serialization import UnknownPersistentIdError
from nnsight.modeling.huggingface import HuggingFaceModel
from nnsight.schema.request import RequestModel
from nnsight.schema.response import ResponseModel, Status
from nnsight.tracing.globals import BLOCKS, SOURCES
from nnsight.tracing.tracer import _saves, dec, inc
from nnsight.tracing.util import clean_traceback, filter_traceback
from packaging.version import Version
from pydantic import ValidationError

APOLOGY = "Please try again later. Sorry for the inconvenience."
RECONNECTING = "Service temporarily unavailable: compute backend is reconnecting. Please try again in a few minutes."
OUT_OF_MEMORY = """Traceback (most recent call last):
  File "client.py", line 1, in <module>
torch.OutOfMemoryError: CUDA out of memory. """
# What a job that `fail` stops says: one of these names, or any other text as it is.
FAILURES = {
    "out of memory": OUT_OF_MEMORY + "Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which "
    "1.24 GiB is free. Including non-PyTorch memory, this process has 77.87 GiB memory in use. 38.00 GiB allowed; Of the "
    "allocated memory 36.90 GiB is allocated by PyTorch, and 112.00 MiB is reserved by PyTorch but unallocated. If "
    "reserved but unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid "
    "fragmentation.\n",
    "out of budget": OUT_OF_MEMORY + "Allocation was preemptively rejected because it would exceed "
    "per_process_memory_fraction limit. Requested size: 2.00 GiB.\n",
    "timeout": "Your job exceeded the execution timeout of 60.0s.",
    "cancelled": "Your job was cancelled or preempted by the server.",
    "evicted": "Replica was evicted while processing your request. Sorry for the inconvenience. Please try again later.",
    "critical": f"Critical server error occurred. {APOLOGY}",
    "submitting": f"Error submitting request to model deployment. {APOLOGY}",
    "provisioning": f"Error provisioning model. {APOLOGY}",
    "starting": f"Error starting model. {APOLOGY}",
    "no room": "Could not deploy this model. CANT_ACCOMMODATE: placed 0 of 1 new replicas before the cluster ran out of room.",
    "no nodes": "Could not deploy this model. No GPU nodes available.",
}
MAX_REASON = 1500  # characters of a deployment's failure that reach the caller


@dataclass
class Settings:
    """How the server behaves. Counts say for how many of the next jobs or requests, and run down to zero."""

    api_keys: list[str] = field(default_factory=list)  # UUIDs; none: everybody may
    min_nnsight: str | None = None  # refuse older clients
    dtype: str = "float32"  # of the weights; a real server's is bfloat16
    deployable: list[str] | None = None  # repo ids; None: whatever can be loaded
    inline_max: int = 8 * 2**20  # bytes of a result that may come back on the websocket
    max_request: int | None = None  # bytes of a /request's body
    env: dict[str, str | None] = field(default_factory=dict)  # what /env says of "python" or a package; None: not there
    reconnecting: bool = False  # 503 wherever the real server asks for its backend first
    hold: bool = False  # jobs wait in the queue
    delay: float = 0.0  # seconds in the queue
    late: int = 0  # of the next jobs: nothing is said of them before they run
    # of the next jobs, in this order of precedence
    die_on: int = 0  # the process ends in the middle of the n-th of the next jobs
    forget: int = 0  # nothing is ever stored or said of them
    lose: int = 0  # they run for ever
    fail: int = 0
    fail_text: str = "out of memory"
    wrong_results: int = 0
    wrong_result: str = "truncated"  # or garbage, huge, other names, not a dict, no data, gone
    huge_bytes: int = 64 * 2**20
    cut_sockets: int = 0  # the websocket of the job is cut when it starts running
    # of the next requests and websockets whose path starts with `on`
    on: str = ""
    drop: int = 0  # the connection is cut before anything is done
    drop_answers: int = 0  # ... after it is done, before the answer
    unavailable: int = 0  # 503, for requests

    def change(self, changes: dict) -> None:
        """Set what `changes` names.

        Raises: KeyError on an unknown name.
        """
        if unknown := set(changes) - {known.name for known in fields(self)}:
            raise KeyError(f"no such settings: {sorted(unknown)}")
        for name, value in changes.items():
            setattr(self, name, value)

    def take(self, name: str) -> bool:
        """Whether the count `name` has one left; takes it."""
        left = getattr(self, name)
        setattr(self, name, max(left - 1, 0))
        return left > 0

    def fate(self) -> str:
        """What happens to the job that has just been accepted."""
        dies = self.die_on == 1
        self.die_on = max(self.die_on - 1, 0)
        if dies:
            return "die"
        return next((name for name in ("forget", "lose", "fail", "wrong_results") if self.take(name)), "run")


class State:
    """Everything that the endpoints share. One model thread: greenlets may not cross threads."""

    def __init__(self, settings: dict, store: Path) -> None:
        self.started_with, self.store = settings, store
        self.settings = Settings()
        self.settings.change(settings)
        self.changed, self.generation = threading.Condition(), 0
        self.thread = ThreadPoolExecutor(1, "model")
        self.models: dict[tuple[str, str], HuggingFaceModel] = {}
        self.sessions: dict[str, asyncio.Queue] = {}
        self.clear_log()
        for name in ("responses", "results"):
            (store / name).mkdir(parents=True, exist_ok=True)

    def clear_log(self) -> None:
        self.jobs: dict[str, dict] = {}
        self.traffic: dict[str, dict[str, int]] = {}

    def count(self, route: str, **amounts: int) -> None:
        line = self.traffic.setdefault(route, {"requests": 0, "bytes_in": 0, "bytes_out": 0})
        for name, amount in amounts.items():
            line[name] += amount


class Wire:
    """Counts the bytes of every body and frame, and cuts connections when told to."""

    def __init__(self, app: FastAPI, state: State) -> None:
        self.app, self.state = app, state

    async def __call__(self, scope: dict, receive, send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"].startswith("/_"):
            await self.app(scope, receive, send)
            return
        settings, path = self.state.settings, scope["path"]
        transport = receive.__self__.transport  # uvicorn's own; ASGI knows no way to cut a connection
        route = f"{scope.get('method', 'WEBSOCKET')} /{path.split('/')[1]}"
        self.state.count(route, requests=1)
        scope["bytes_in"] = 0
        chosen = path.startswith(settings.on)
        if chosen and settings.take("drop"):
            transport.abort()
            return
        silent = chosen and settings.take("drop_answers")
        scope["cut"] = transport.abort

        async def counting_receive() -> dict:
            message = await receive()
            size = len(message.get("body") or b"") + len(message.get("bytes") or b"") + len(message.get("text") or "")
            scope["bytes_in"] += size
            self.state.count(route, bytes_in=size)
            return message

        async def counting_send(message: dict) -> None:
            if silent:
                transport.abort()
                return
            text = (message.get("text") or "").encode()
            size = len(message.get("body") or b"") + len(message.get("bytes") or b"") + len(text)
            self.state.count(route, bytes_out=size)
            await send(message)

        if scope["type"] == "http":
            refused = None
            too_large = settings.max_request is not None and path == "/request"
            if too_large and int(dict(scope["headers"]).get(b"content-length", b"0")) > settings.max_request:
                refused = 413, "Request Entity Too Large"
            elif chosen and settings.take("unavailable"):
                refused = 503, RECONNECTING
            if refused:
                # Read to the end first: a client that is still sending would see a broken pipe, not the answer.
                while (await counting_receive()).get("more_body"):
                    pass
                answer = Response(json.dumps({"detail": refused[1]}), refused[0], media_type="application/json")
                await answer(scope, counting_receive, counting_send)
                return
        await self.app(scope, counting_receive, counting_send)


class Lines(io.TextIOBase):
    """What a block prints goes home line by line."""

    def __init__(self, emit) -> None:
        self.emit, self.rest = emit, ""

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self.emit(line)
        return len(text)

    def finish(self) -> None:
        if self.rest:
            self.emit(self.rest)


class Refused(Exception):
    """A job that cannot be run, in a sentence for the caller."""


class ResultPickler(pickle.Pickler):
    """Classes and functions that came by value, or were born in the block, go home by value."""

    def reducer_override(self, value):
        if not isinstance(value, type | types.FunctionType):
            return NotImplemented
        try:
            found = importlib.import_module(value.__module__)
            for part in value.__qualname__.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError):
            found = None
        return NotImplemented if found is value else (pickle.loads, (cloudpickle.dumps(value),))


RESULT_PICKLE = types.ModuleType("result_pickle")
RESULT_PICKLE.__dict__.update({**vars(pickle), "Pickler": ResultPickler})


def blob_of(saved: object, compress: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(saved, buffer, pickle_module=RESULT_PICKLE)
    return zstandard.ZstdCompressor(level=3).compress(buffer.getvalue()) if compress else buffer.getvalue()


class Job:
    """One accepted request."""

    def __init__(self, state: State, request: RequestModel, payload: bytes, address: str) -> None:
        self.state, self.request, self.payload, self.address = state, request, payload, address
        self.id, self.started = uuid.uuid4().hex, time.monotonic()
        self.loop, self.generation = asyncio.get_running_loop(), state.generation
        self.fate = state.settings.fate()
        self.fail_text = FAILURES.get(state.settings.fail_text, state.settings.fail_text)
        self.cut_socket = bool(request.session_id) and state.settings.take("cut_sockets")
        self.log = {"id": self.id, "model_key": request.model_key, "blocking": bool(request.session_id)}
        self.log |= {"fate": self.fate, "status": Status.RECEIVED.value, "blob_bytes": len(payload), "lines": []}
        self.log |= {"bytes_out": None, "downloads": 0, "seconds": None, "error": None}
        state.jobs[self.id] = self.log

    def emit(self, status: Status, description: str = "", data=None, meta=None) -> None:
        """Say it on the job's websocket, or, without one, store it where GET /response/{id} finds it. LOG is not stored."""
        if self.generation != self.state.generation or self.fate == "forget":
            return
        if status is Status.LOG:
            self.log["lines"].append(description)
        else:
            self.log["status"] = status.value
        response = ResponseModel(id=self.id, status=status, description=description, data=data, meta=meta)
        if self.request.session_id:
            frame = response.pickle() if isinstance(data, bytes) else response.model_dump_json()
            self.loop.call_soon_threadsafe(self.say, frame)
        elif status is not Status.LOG:
            write(self.state.store / "responses" / f"{self.id}.json", response.model_dump_json().encode())

    def say(self, frame: bytes | str | None) -> None:
        if self.request.session_id in self.state.sessions:
            self.state.sessions[self.request.session_id].put_nowait(frame)

    def run(self) -> None:
        """On the model thread: from the queue to COMPLETED or ERROR."""
        state = self.state
        with state.changed:
            state.changed.wait_for(lambda: self.over or not state.settings.hold)
            state.changed.wait_for(lambda: self.over, state.settings.delay or 0)
        if self.over or self.fate == "forget":
            return
        started = time.monotonic()
        try:
            model = self.model()
            self.emit(Status.DISPATCHED, "Your job has been sent to the model deployment.")
            self.emit(Status.RUNNING, "Your job has started running.")
            if self.cut_socket:
                self.loop.call_soon_threadsafe(self.say, None)
            started = time.monotonic()
            if self.fate == "lose":
                return
            if self.fate == "fail":
                raise Refused(self.fail_text)
            saved = self.execute(model)
            if self.fate == "die":
                os._exit(17)
            self.complete(saved, started)
        except BaseException as error:
            self.log["error"] = message = describe(error)
            self.emit(Status.ERROR, message, meta=self.meta(started, "CUDA out of memory" in message))
        finally:
            self.log["seconds"] = round(time.monotonic() - started, 4)

    @property
    def over(self) -> bool:
        """Whether the server was reset since."""
        return self.generation != self.state.generation

    def model(self) -> HuggingFaceModel:
        state, key, dtype = self.state, self.request.model_key, self.state.settings.dtype
        known = state.settings.deployable
        if known is not None and json.loads(key.partition(":")[2])["repo_id"] not in known:
            raise Refused(FAILURES["no room"])
        if (key, dtype) not in state.models:
            self.emit(Status.PROVISIONING, "Model Provisioning...")
            try:
                model = HuggingFaceModel.from_model_key(key, dispatch=True, dtype=dtype)
            except Exception as error:
                trace = "".join(traceback.format_exception(error))
                reason = f"{error}\n{trace}"
                reason = reason[:MAX_REASON].rstrip() + "…" if len(reason) > MAX_REASON else reason
                raise Refused(f"Could not deploy this model. {reason}") from error
            self.emit(Status.DEPLOYING, "Model Deploying...")
            model._module.requires_grad_(False)
            state.models[key, dtype] = model
        return state.models[key, dtype]

    def execute(self, model: HuggingFaceModel) -> dict:
        """Rebuild the block against the live model, run it, and give what it saved."""
        model._remoteable_set_env(self.request.env)
        caches = [(cache, dict(cache)) for cache in (linecache.cache, SOURCES, BLOCKS)]
        printed, warned = Lines(self.line), Lines(self.line)
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(warned):
                objects = model._remoteable_persistent_objects()
                try:
                    tracer = RequestModel.deserialize(self.payload, objects, compress=self.request.compress)
                except UnknownPersistentIdError as error:
                    raise Refused(MISMATCH.format(path=error)) from error
                except Exception as error:
                    raise Refused(UNREADABLE.format(kind=type(error).__name__, error=error)) from error
                inc()
                try:
                    tracer.execute(tracer.info.code)
                    return {n: value for n, value in tracer.info.frame.f_locals.items() if id(value) in _saves()}
                finally:
                    dec()
        finally:
            printed.finish()
            warned.finish()
            model.interleaver.cancel()
            for cache, before in caches:
                cache.clear()
                cache.update(before)

    def line(self, text: str) -> None:
        self.emit(Status.LOG, text)

    def complete(self, saved: dict, started: float) -> None:
        settings = self.state.settings
        wrong = settings.wrong_result if self.fate == "wrong_results" else None
        if wrong == "huge":
            saved = {**saved, "padding": torch.randint(0, 256, (settings.huge_bytes,), dtype=torch.uint8)}
        saved = {"other names": {"nobody_asked_for_this": 1}, "not a dict": [1, 2, 3]}.get(wrong, saved)
        blob = blob_of(saved, self.request.compress)
        blob = {"truncated": blob[: len(blob) // 2], "garbage": os.urandom(len(blob))}.get(wrong, blob)
        self.log["bytes_out"] = len(blob)
        data: bytes | str | None = blob
        if wrong == "no data":
            data = None
        elif not self.request.session_id or len(blob) > settings.inline_max:
            data = f"{self.address}/result/{self.id}"
            if wrong != "gone":
                write(self.state.store / "results" / self.id, blob)
        self.emit(Status.COMPLETED, "Your job has been completed.", data, self.meta(started))

    def meta(self, started: float, out_of_memory: bool = False) -> dict:
        meta = {"runtime": round(time.monotonic() - started, 4), "max_memory_usage": 0}
        meta |= {"max_mem_by_gpu": {}, "max_mem_pct_by_gpu": {}}
        return meta | ({"alloc_shortfall_by_gpu": None} if out_of_memory else {})


MISMATCH = """The model architecture on this server doesn't match the one your code was traced against: it has no module \
at '{path}'.

This usually means the package versions differ between your machine and the server — most often `transformers`, which \
determines a checkpoint's module layout. Compare the two environments with:

    from nnsight import ndif
    print(ndif.compare())

then align any mismatch it flags under nnsight / transformers / torch and re-run."""
UNREADABLE = (
    "Your request payload could not be read ({kind}: {error}). It may be truncated or corrupted in transit, or "
    "compressed differently than the request declared. Re-sending it usually resolves this; if it persists, check that "
    "the client and server nnsight versions match."
)


def describe(error: BaseException) -> str:
    """A sentence for what was refused, a traceback of the caller's own frames for what failed."""
    if isinstance(error, Refused):
        return str(error)
    frames = filter_traceback(clean_traceback(error.__traceback__), lambda frame: frame.f_code.co_filename != __file__)
    return "".join(traceback.format_exception(type(error), error, frames))


def write(path: Path, data: bytes) -> None:
    partial = path.with_suffix(".partial")
    partial.write_bytes(data)
    partial.replace(path)


def identity(settings: Settings, key: str | None) -> str | None:
    """The caller's address; None where keys are not asked for."""
    if not settings.api_keys:
        return None
    if not key:
        raise HTTPException(401, "Missing or invalid API key. Please visit https://login.ndif.us/ to create a new one.")
    try:
        uuid.UUID(key)
    except ValueError:
        raise HTTPException(
            400,
            f"Invalid API key format: '{key}'. API keys must be in the format: xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx. "
            "You can obtain a valid API key from https://login.ndif.us",
        ) from None
    if key not in settings.api_keys:
        raise HTTPException(403, "Invalid API key.")
    return "loopback@example.org"


def environment(settings: Settings) -> dict:
    """Python and the packages by the names they are imported by, as the real controller tells them."""
    imported_as: dict[str, list[str]] = {}
    for name, owners in packages_distributions().items():
        for owner in owners:
            imported_as.setdefault(owner, []).append(name)
    packages: dict[str, str] = {}
    for found in distributions():
        name = found.metadata["Name"]
        packages |= dict.fromkeys(imported_as.get(name, [name]), found.version)
    packages |= {name: version for name, version in settings.env.items() if version and name != "python"}
    packages = {name: version for name, version in packages.items() if settings.env.get(name, version)}
    return {"python_version": settings.env.get("python") or sys.version, "packages": packages}


def build(state: State, address: str) -> FastAPI:
    """The endpoints."""
    app = FastAPI()

    async def backend() -> None:
        if state.settings.reconnecting:
            raise HTTPException(503, RECONNECTING)

    async def validated(data: str = Form(...), ndif_api_key: str | None = Header(None)) -> RequestModel:
        try:
            request = RequestModel.model_validate_json(data)
        except ValidationError as error:
            raise HTTPException(422, error.errors(include_url=False, include_context=False)) from error
        identity(state.settings, ndif_api_key)
        return request

    @app.post("/request", dependencies=[Depends(backend)])
    async def request(
        http: Request,
        request: RequestModel = Depends(validated),  # noqa: B008
        blob: UploadFile = File(...),  # noqa: B008
        nnsight_version: str | None = Header(None),
    ) -> Response:
        least = state.settings.min_nnsight
        if least is not None and Version(nnsight_version or "0") < Version(least):
            raise HTTPException(
                400,
                f"Client nnsight version {nnsight_version} is below the minimum supported {least}. Please "
                "`pip install --upgrade nnsight`.",
            )
        job = Job(state, request, await blob.read(), address)
        job.log |= {"bytes_in": http.scope["bytes_in"], "client": nnsight_version}
        if not state.settings.take("late"):
            waiting = 1 + sum(other["status"] == "QUEUED" for other in state.jobs.values())
            job.emit(Status.QUEUED, f"Added to Queue at position {waiting}.")
        state.thread.submit(job.run)
        text = "Your job has been received and is waiting to be queued."
        return reply(ResponseModel(id=job.id, status=Status.RECEIVED, description=text).model_dump_json())

    @app.websocket("/subscribe")
    async def subscribe(socket: WebSocket) -> None:
        await socket.accept()
        session, frames = uuid.uuid4().hex, asyncio.Queue()
        state.sessions[session] = frames
        await socket.send_json({"session_id": session})

        async def forward() -> None:
            while (frame := await frames.get()) is not None:
                await (socket.send_bytes(frame) if isinstance(frame, bytes) else socket.send_text(frame))
            socket.scope["cut"]()

        async def watch() -> None:
            while (await socket.receive())["type"] != "websocket.disconnect":
                pass

        tasks = [asyncio.create_task(forward()), asyncio.create_task(watch())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            state.sessions.pop(session, None)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @app.get("/response/{job_id}")
    async def response(job_id: str) -> Response:
        path = state.store / "responses" / f"{Path(job_id).name}.json"
        if not path.is_file():
            raise HTTPException(404, f"No response for request {job_id}.")
        return reply(path.read_text())

    @app.get("/result/{job_id}")
    async def result(job_id: str) -> Response:
        path = state.store / "results" / Path(job_id).name
        if not path.is_file():
            raise HTTPException(404, "The specified key does not exist.")
        state.jobs.get(job_id, {"downloads": 0})["downloads"] += 1
        return Response(path.read_bytes(), media_type="application/octet-stream")

    @app.get("/status", dependencies=[Depends(backend)])
    async def status() -> dict:
        deployments = {}
        for number, ((key, dtype), model) in enumerate(list(state.models.items())):
            named = json.loads(key.partition(":")[2])
            deployments[f"{number}:ModelActor:{key}"] = {
                "application_state": "RUNNING",
                "deployment_level": "HOT",
                "model_key": key,
                "replica_id": str(number),
                "dtype": dtype,
                "repo_id": named["repo_id"],
                "revision": named.get("revision"),
                "task": named.get("task"),
                "n_params": sum(parameter.numel() for parameter in model._module.parameters()),
            }
        return {"deployments": deployments}

    @app.get("/env", dependencies=[Depends(backend)])
    async def env() -> dict:
        return environment(state.settings)

    @app.get("/connected", dependencies=[Depends(backend)])
    async def connected() -> dict:
        return {"status": "connected"}

    @app.get("/whoami")
    async def whoami(ndif_api_key: str | None = Header(None)) -> dict:
        try:
            return {"email": identity(state.settings, ndif_api_key), "tags": ["trusted"]}  # it has no sandbox
        except HTTPException:
            return {"email": None, "tags": []}

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    # For tests only: what follows is none of NDIF's.
    @app.post("/_faults")
    async def faults(http: Request) -> dict:
        try:
            with state.changed:
                state.settings.change(await http.json())
                state.changed.notify_all()
        except KeyError as error:
            raise HTTPException(400, str(error)) from error
        return asdict(state.settings)

    @app.post("/_reset")
    async def reset() -> dict:
        with state.changed:
            state.generation += 1
            state.settings = Settings()
            state.settings.change(state.started_with)
            state.changed.notify_all()
        await asyncio.get_running_loop().run_in_executor(state.thread, lambda: None)  # the job in hand ends first
        for path in [*state.store.glob("responses/*"), *state.store.glob("results/*")]:
            path.unlink(missing_ok=True)
        state.clear_log()
        return asdict(state.settings)

    @app.get("/_log")
    async def log() -> dict:
        routes = state.traffic
        total = {name: sum(line[name] for line in routes.values()) for name in ("requests", "bytes_in", "bytes_out")}
        return {"jobs": list(state.jobs.values()), "routes": routes, "total": total}

    @app.get("/_importable")
    async def importable(name: str) -> dict:
        try:
            importlib.import_module(name)
        except ImportError as error:
            return {"name": name, "importable": False, "why": str(error)}
        return {"name": name, "importable": True, "why": ""}

    return app


def reply(text: str) -> Response:
    return Response(text, media_type="application/json")


def end_with_parent() -> None:
    sys.stdin.buffer.read()  # returns when whoever started this server is gone, however it went
    os._exit(0)


def bound(port: int) -> socket.socket:
    """A listening socket; a port that is still taken is waited for, as a server just killed may hold it a moment."""
    for last in [False] * 100 + [True]:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            return listener
        except OSError:
            listener.close()
            if last:
                raise
            time.sleep(0.1)
    raise AssertionError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON, see Settings")
    parser.add_argument(
        "--store", type=Path, default=Path("store"), help="where responses and results outlive the server"
    )
    parser.add_argument("--announce", type=Path, help="a file to write the address to, once listening")
    parser.add_argument("--threads", type=int, default=1, help="torch's")
    parser.add_argument("--end-with-parent", action="store_true", help="end when standard input does")
    options = parser.parse_args()
    if options.end_with_parent:
        threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(options.threads)
    state = State(options.settings, options.store.resolve())
    listener = bound(options.port)
    listener.listen(128)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = Wire(build(state, address), state)
    if options.announce:
        write(options.announce, address.encode())
    print(address, flush=True)
    # Pings would cut a client that a loaded machine keeps from answering.
    config = uvicorn.Config(
        app,
        http="h11",
        ws="websockets-sansio",
        lifespan="off",
        log_level="warning",
        ws_ping_interval=None,
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[listener])
    os._exit(0)  # whatever the model thread still does


if __name__ == "__main__":
    main()
