"""What stock nnsight does with a server: traces that block, and jobs that are polled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx
import nnsight
import numpy as np
import torch
from nnsight import TransformersModel
from nnsight.intervention.backends.remote import RemoteBackend

from tests.remote.loopback import Loopback

WAVE = np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
PATIENCE = 120.0


def blocking(model: TransformersModel, url: str) -> torch.Tensor:
    """The logits from there, over the websocket."""
    with model.trace(WAVE, remote=url):
        print("hello from the block")
        logits = nnsight.save(model.output.logits)
    return logits


def submit(model: TransformersModel, url: str) -> RemoteBackend:
    """The same, not waited for."""
    with model.trace(WAVE, remote=url, blocking=False) as tracer:
        print("hello from the block")
        logits = nnsight.save(model.output.logits)  # noqa: F841
    return tracer.backend


def until(backend: RemoteBackend, over: Callable[[Any], bool] = lambda result: result is not None) -> Any:
    """Ask for the job's result until it is there, or until `over` says so."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.1)):
        if over(result := backend()):
            return result
        pause.wait(0.1)
    raise AssertionError(f"still {backend.status}")


def answer(loopback: Loopback, path: str, **options: Any) -> httpx.Response:
    return httpx.get(f"{loopback.url}{path}", **options)
