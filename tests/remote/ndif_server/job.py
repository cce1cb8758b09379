"""One accepted request: from the queue, through the model, to what is sent or stored."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import linecache
import os
import time
import traceback
import uuid
from pathlib import Path

import torch
from faults import FAILURES
from nnsight.intervention.serialization import UnknownPersistentIdError
from nnsight.modeling.huggingface import HuggingFaceModel
from nnsight.schema.request import RequestModel
from nnsight.schema.response import ResponseModel, Status
from nnsight.tracing.globals import BLOCKS, SOURCES
from nnsight.tracing.tracer import _saves, dec, inc
from nnsight.tracing.util import clean_traceback, filter_traceback
from results import blob_of
from state import State, write

HERE = Path(__file__).parent
MAX_REASON = 1500  # characters of a deployment's failure that reach the caller
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


def describe(error: BaseException) -> str:
    """A sentence for what was refused, a traceback of the caller's own frames for what failed."""
    if isinstance(error, Refused):
        return str(error)
    frames = filter_traceback(
        clean_traceback(error.__traceback__), lambda frame: Path(frame.f_code.co_filename).parent != HERE
    )
    return "".join(traceback.format_exception(type(error), error, frames))
