"""The endpoints, their codes and their wording."""

from __future__ import annotations

import asyncio
import functools
import importlib
import json
import sys
import uuid
from dataclasses import asdict
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

from fastapi import Depends, FastAPI, File, Form, Header, HTTPException, Request, Response, UploadFile, WebSocket
from faults import RECONNECTING, Settings
from job import Job
from nnsight.schema.request import RequestModel
from nnsight.schema.response import ResponseModel, Status
from packaging.version import Version
from pydantic import ValidationError
from state import State


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


@functools.cache
def installed() -> dict[str, str]:
    """Versions of the packages by the names they are imported by; what is installed stays while the server runs."""
    imported_as: dict[str, list[str]] = {}
    for name, owners in packages_distributions().items():
        for owner in owners:
            imported_as.setdefault(owner, []).append(name)
    packages: dict[str, str] = {}
    for found in distributions():
        name = found.metadata["Name"]
        packages |= dict.fromkeys(imported_as.get(name, [name]), found.version)
    return packages


def environment(settings: Settings) -> dict:
    """Python and what is installed, as the real controller tells them."""
    packages = installed() | {name: version for name, version in settings.env.items() if version and name != "python"}
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
            return {
                "email": identity(state.settings, ndif_api_key),
                "tags": ["trusted"] * state.settings.trusted,
            }  # it has no sandbox
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
