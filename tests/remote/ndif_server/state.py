"""What the endpoints and the jobs of a server share."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from faults import Settings
from nnsight.modeling.huggingface import HuggingFaceModel


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


def write(path: Path, data: bytes) -> None:
    partial = path.with_suffix(".partial")
    partial.write_bytes(data)
    partial.replace(path)
