"""ndif's dispatcher and its sandboxed model actor, on a CPU and without Ray.

    NDIF_REDIS_URL=… NDIF_OBJECT_STORE_URL=… python worker.py FOLDER [--dtype float32] [--runners 1] [--timeout S]

Queue, replicas, statuses, errors, retries of evicted replicas, time limits, results and the sandbox are ndif's own
code. Ours: how an actor is started and called (`ray_stand_in`), which controller places it (here, always at once), and
that the model lies on the CPU, where autocast runs as it does on ndif's GPUs. FOLDER gets `actor.pid`.

SIGUSR1 evicts the model: its request goes back to the queue and the model is loaded anew. SIGKILL of the actor is a
crash: its request fails and the actor is started again. SIGKILL of the worker loses everything that was queued.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
import traceback
from collections.abc import Callable
from importlib.metadata import distributions, packages_distributions
from pathlib import Path
from typing import Any

import anyio._backends._asyncio
import anyio.abc  # noqa: F401  # before nnsight, which hangs `save` on every object
import ray_stand_in
from ray_stand_in import ACTORS, Method, ProcessActor, die_with_parent

ray_stand_in.install()


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", default="float32", help="of the weights: float32, bfloat16")
    parser.add_argument("--runners", type=int, default=1, help="sandbox processes that are kept warm")
    parser.add_argument("--timeout", type=float, help="seconds that a job may run")
    options = parser.parse_args()
    die_with_parent()

    from ndif.common.providers import ray as provider
    from ndif.services.api.queue.dispatcher import Dispatcher

    provider.verify_connection = lambda *unused: True  # there is no port of Ray's to look at
    controller = Controller(options.folder, (options.dtype, options.timeout, options.runners))
    ACTORS["Controller"] = controller
    signal.signal(signal.SIGUSR1, lambda *unused: controller.evict())
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(0))
    Dispatcher.start()


class Controller:
    """ndif's controller without a cluster: it places every model that it can describe, on this machine."""

    def __init__(self, folder: Path, settings: tuple[Any, ...]) -> None:
        self.folder, self.settings = folder, settings
        self.replicas: dict[str, str] = {}
        self.started = 0
        for name in ("get_deployment", "scale", "status", "env"):
            setattr(self, name, Method(_coroutine(getattr(self, f"_{name}"))))

    def evict(self) -> None:
        """Take every model away, as another model that needs the room would make it."""
        for model_key, replica in self.replicas.items():
            actor = ACTORS.get(f"{replica}:ModelActor:{model_key}")
            if actor is not None:
                actor.remove()
        self.replicas.clear()

    def _get_deployment(self, model_key: str) -> Any:
        from ndif.common.schema.controller import ReplicaState, ReplicaStates

        replica = self.replicas.get(model_key)
        if replica is None or f"{replica}:ModelActor:{model_key}" not in ACTORS:
            return ReplicaStates()
        state = {"model_key": model_key, "replica_id": replica, "deployment_level": "hot", "gpus": {}}
        return ReplicaStates(replicas=[ReplicaState(**state, size_bytes=0, pinned=False, deployed=time.time())])

    def _scale(self, model_key: str, count: int, config: Any) -> Any:
        from ndif.common.schema.controller import DeployResponse, ModelDeployResult
        from nnsight.modeling.mixins.remotable import Remotable

        dtype = self.settings[0]
        try:
            Remotable.describe_checkpoint(model_key, dtype)  # what ndif's evaluator asks of a model before placing it
        except Exception as error:
            said = f"{error}\n{''.join(traceback.format_exception(error))}"
            return DeployResponse(results={model_key: ModelDeployResult(error=said)})
        self.started += 1
        replica = f"replica{self.started}"
        name = f"{replica}:ModelActor:{model_key}"
        ProcessActor(name, serve_model, (model_key, *self.settings), self.folder / "actor.pid")
        self.replicas[model_key] = replica
        return DeployResponse(results={model_key: ModelDeployResult(replicas=[replica])}, change=True)

    def _status(self) -> dict[str, Any]:
        running = {"application_state": "RUNNING"}
        return {"deployments": {key: {**running, "repo_id": key} for key in self.replicas}, "cluster": {}}

    def _env(self) -> dict[str, Any]:
        imports: dict[str, list[str]] = {}
        for module, names in packages_distributions().items():
            for name in names:
                imports.setdefault(name, []).append(module)
        packages = {
            module: distribution.version
            for distribution in distributions()
            for module in imports.get(distribution.metadata["Name"], [distribution.metadata["Name"]])
        }
        return {"python_version": sys.version, "packages": packages}


def _coroutine(function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*arguments: Any) -> Any:
        return await asyncio.to_thread(function, *arguments)

    return call


def serve_model(pipe: Any, model_key: str, dtype: str, timeout: float | None, runners: int) -> None:
    """The actor's process: load the model, say so, and run one request after the other."""
    die_with_parent()
    import torch
    from ndif.services.ray.deployments.modeling import nns
    from ndif.services.ray.sandbox import driver
    from ndif.services.ray.sandbox.model import SandboxModelDeployment
    from nnsight.modeling.huggingface import HuggingFaceModel

    def autocast(to: torch.dtype) -> Any:
        half = to in (torch.float16, torch.bfloat16)
        return torch.autocast("cpu", dtype=to, enabled=half, cache_enabled=False)

    nns.request_dtype = driver.request_dtype = autocast
    torch.cuda.synchronize = lambda *unused: None

    class CpuActor(SandboxModelDeployment):
        """ndif's sandboxed actor with its model on the CPU."""

        def load_from_disk(self) -> Any:
            model = HuggingFaceModel.from_model_key(self.model_key, dispatch=True, dtype=self.dtype_name)
            model._module.requires_grad_(False)
            _without_autocast(type(model.feature_extractor))
            return model

    actor = CpuActor(model_key, execution_timeout=timeout, dtype=dtype, pool_size=runners)
    pipe.send(None)
    loop = asyncio.new_event_loop()
    while True:
        request = pipe.recv()
        try:
            loop.run_until_complete(actor.run(request))
        except Exception as error:
            pipe.send(error)
        else:
            pipe.send(None)


def _without_autocast(extractor: Any) -> None:
    """Features are made on the CPU, which a GPU's autocast leaves alone: let this one do so too."""
    import torch

    made = extractor.__call__

    def make(*arguments: Any, **options: Any) -> Any:
        with torch.autocast("cpu", enabled=False):
            return made(*arguments, **options)

    extractor.__call__ = make


if __name__ == "__main__":
    main()
