"""Decode freshly damaged files, and report the slowest, and the memory of all: `python -m tests.audio.containers.fuzz 1000 SEED`.

A process of its own, since a process's peak of memory can only rise.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from and_nnsight.audio.loading import AudioError, load
from tests.audio.containers.damaging import RATE, damaged, whole
from tests.peak_memory import peak_bytes

_WINDOWS = (None, 5 * RATE)


def peak() -> float:
    """The most memory that this process has had, in MB."""
    return peak_bytes() / 2**20


def fuzz(count: int, seed: int) -> dict[str, object]:
    """Outcomes, the slowest file, the growth of memory, and every exception that was none of ours."""
    load(whole("wav", 3.0, 48000), RATE)
    before, outcomes, others, unlike = peak(), Counter[str](), list[str](), list[str]()
    slowest, growth = (0.0, ""), (0.0, "")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip"
        for number in range(count):
            what, content = damaged(np.random.default_rng([seed, number]))
            path.write_bytes(content)
            results: list[object] = []
            for value in (content, path):
                began, had = time.process_time(), peak()
                try:
                    waveform = load(value, RATE, window=_WINDOWS[number % 2], name="clip")
                    results.append((len(waveform.samples), float(waveform.samples.sum()), waveform.seconds))
                except AudioError as error:
                    results.append(error.reason)
                except Exception as error:
                    results.append(type(error).__name__)
                    others.append(f"{number}: {what}: {type(error).__name__}: {error}")
                slowest = max(slowest, (time.process_time() - began, f"{number}: {what}"))
                growth = max(growth, (peak() - had, f"{number}: {what}"))
            outcomes["refused" if isinstance(results[0], str) else "heard"] += 1
            if results[0] != results[-1]:
                unlike.append(f"{number}: {what}: {results}")
    return {
        "outcomes": outcomes, "slowest": slowest, "growth": growth, "memory": peak() - before, "others": others,
        "unlike": unlike,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(fuzz(int(sys.argv[1]), int(sys.argv[2])), indent=1))
