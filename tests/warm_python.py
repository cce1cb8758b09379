"""Processes that are a user's: our package in them without the tests' type checks, and what they do is theirs alone.

Starting Python and importing what our package needs takes seconds; here it is done once, by a process that forks for
every script. What a script finds is what a new process would find right after its imports.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Reads requests, a line each, and answers each with a line. The child of a fork leaves the loop and ends as any program
# does: by its last line, an exception or a signal.
_LOOP = """
import atexit, contextlib, functools, gc, json, os, signal, ssl, sys, threading, time
with contextlib.suppress(ImportError):
    import beartype  # before nnsight, which hangs `save` on every object
import and_nnsight.cli, and_nnsight.run.dissect, and_nnsight.run.local, and_nnsight.run.remote
with contextlib.suppress(ImportError):
    import IPython.display  # which nnsight looks for when it talks to a server
import and_nnsight.dictionaries.autoencoder, and_nnsight.data.sources
import datasets, httpcore, httpx, soundfile, symtable, torch, zstandard
from and_nnsight.model.patches import replaced_functions
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification, pipeline
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

# What every script would read of the libraries' own sources, for a second, when it opens a model: both keep it.
get_checkpoint_conversion_mapping("audio-spectrogram-transformer")
with torch.device("meta"):
    replaced_functions(ASTForAudioClassification(ASTConfig()), ASTFeatureExtractor())
gc.collect()
gc.freeze()  # no script looks through half a million objects for cycles

os.fsync = os.fstat  # what a process has written outlives its kill: `impatient` in tests/conftest.py
# Stock nnsight reads the certificates anew for every job, and no server of a test has one.
ssl.create_default_context = functools.cache(ssl.create_default_context)


def request_of_the_child():
    ends = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if "argv" in asked:
            answer = os.fork()
            if not answer:
                return asked
        else:
            answer, until = None, time.monotonic() + asked["seconds"]
            while answer is None and time.monotonic() < until:
                ended, status = os.waitpid(asked["wait"], os.WNOHANG)
                answer = os.waitstatus_to_exitcode(status) if ended else None
                time.sleep(0 if ended else 0.005)
        print(json.dumps(answer), flush=True)
    return None


asked = request_of_the_child()
if asked:
    for descriptor, path, flags in ((0, os.devnull, os.O_RDONLY), (1, asked["stdout"], os.O_WRONLY), (2, asked["stderr"], os.O_WRONLY)):
        opened = os.open(path, flags)
        os.dup2(opened, descriptor)
        os.close(opened)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv[:] = asked["argv"]
    sys.path[0] = os.path.dirname(sys.argv[0])
    exec(asked["before"])
    import runpy
    runpy.run_path(sys.argv[0], run_name="__main__")
    threading._shutdown()  # a program's end, without the second in which Python takes its modules apart
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
"""


@dataclass
class Script:
    """A script in a process of its own."""

    python: WarmPython
    pid: int
    stdout: Path
    stderr: Path

    def wait(self, seconds: float = 600.0) -> int:
        """Its exit code; minus the signal that ended it.

        Raises: subprocess.TimeoutExpired, after which it is gone.
        """
        code = self.python.ask(wait=self.pid, seconds=seconds)
        if code is None:
            self.send_signal(signal.SIGKILL)
            self.python.ask(wait=self.pid, seconds=60.0)
            raise subprocess.TimeoutExpired(str(self.stdout), seconds)
        return code

    def wait_for_output(self) -> None:
        """Until it has printed something.

        Raises: TimeoutError.
        """
        for _ in range(60_000):
            if self.stdout.stat().st_size:
                return
            time.sleep(0.005)
        raise TimeoutError(self.stderr.read_text())

    def send_signal(self, number: int) -> None:
        """It has not been waited for, so that its id is still its own."""
        os.kill(self.pid, number)


class WarmPython:
    """A process that has imported our package, in `folder` and with the variables `env`, and forks for each script."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.env, self.folder, self.count = dict(env), folder, 0
        self.lock = threading.Lock()
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _LOOP],
            cwd=folder, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, **request: Any) -> Any:
        """The loop's answer."""
        with self.lock:
            assert self.process.stdin is not None and self.process.stdout is not None
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())

    def start(self, script: Path, *arguments: object, cwd: Path | None = None, before: str = "") -> Script:
        """Run a script; `before`: statements that are run first."""
        self.count += 1
        stdout, stderr = (self.folder / f"{self.count}.{name}" for name in ("stdout", "stderr"))
        stdout.touch()
        stderr.touch()
        argv = [str(script), *map(str, arguments)]
        request = {"argv": argv, "env": self.env, "before": before, "stdout": str(stdout), "stderr": str(stderr)}
        return Script(self, self.ask(cwd=str(cwd or self.folder), **request), stdout, stderr)

    def run(
        self, script: Path, *arguments: object, cwd: Path, before: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a script to its end.

        Raises: AssertionError with what it said if it fails, unless `check` is false; subprocess.TimeoutExpired.
        """
        cwd.mkdir(parents=True, exist_ok=True)
        started = self.start(script, *arguments, cwd=cwd, before=before)
        code = started.wait()
        done = subprocess.CompletedProcess([str(script)], code, started.stdout.read_text(), started.stderr.read_text())
        if check and code:
            raise AssertionError(f"the script failed ({code}):\n{done.stdout}\n{done.stderr}")
        return done

    def close(self) -> None:
        """End it; scripts that still run are their own."""
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self.process.wait()
