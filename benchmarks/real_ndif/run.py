"""Starts the real ndif on this machine's loopback, runs a command against it, and stops everything.

    SERVER/bin/python benchmarks/real_ndif/run.py [options] -- COMMAND [ARGUMENT ...]

SERVER is a virtual environment as README.md makes it; `redis-server` must be on the path. The command finds the server
at REAL_NDIF_URL, and its key in NDIF_API_KEY: `--key` says whether that key's code runs beside the model or in ndif's
sandbox. Both keys are in REAL_NDIF_TRUSTED_KEY and REAL_NDIF_SANDBOXED_KEY. REAL_NDIF_FOLDER holds logs and process ids
in `api.pid`, `worker.pid` and `actor.pid`: see worker.py for what signals do. A process that dies is started again.
Without a command it serves until Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import IO, Any, Self

import psutil

if __package__:
    from .wire import Wire
else:
    from wire import Wire

HERE = Path(__file__).parent
READY_SECONDS = 180.0


class RealNdif:
    """ndif's API, its dispatcher and model actor, Redis, and a stand-in for S3, as processes of this machine.

    python   interpreter of the server's virtual environment
    dtype    the weights': "float32", "bfloat16"
    port     of the API; 0 takes a free one
    runners  sandbox processes that are kept warm
    timeout  seconds that a job may run at the server
    restart_after  seconds after which an API or a worker that died is started again
    """

    def __init__(
        self,
        python: str | Path = sys.executable,
        *,
        dtype: str = "float32",
        port: int = 0,
        runners: int = 1,
        timeout: float | None = None,
        restart_after: float = 1.0,
    ) -> None:
        self.python, self.restart_after = str(Path(python).absolute()), restart_after
        self.folder = Path(tempfile.mkdtemp(prefix="real-ndif-"))
        self.trusted_key, self.sandboxed_key = str(uuid.uuid4()), str(uuid.uuid4())
        self._ports = {name: _free_port() for name in ("redis", "store", "api")}
        self.api, self.store = Wire(self._ports["api"], port), Wire(self._ports["store"])
        self.url = f"http://127.0.0.1:{self.api.port}"
        self._worker = [str(HERE / "worker.py"), str(self.folder), "--dtype", dtype, "--runners", str(runners)]
        self._worker += [] if timeout is None else ["--timeout", str(timeout)]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: list[IO[bytes]] = []
        self._closing = threading.Event()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def start(self) -> None:
        """Start everything and wait until jobs are taken. Raises RuntimeError with what went wrong."""
        redis = shutil.which("redis-server")
        if redis is None:
            raise RuntimeError("there is no redis-server on the path")
        ours = [self.python, "-c", "import and_nnsight"]
        if (
            subprocess.run(ours, cwd=self.folder, env=self._environment(), capture_output=True, check=False).returncode
            == 0
        ):
            raise RuntimeError(
                f"{self.python} can import and_nnsight, which an NDIF cannot: make an environment of its own"
            )
        port = str(self._ports["redis"])
        self._start("redis", [redis, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        store = ["-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._ports["store"])]
        self._start("store", [self.python, *store])
        self._wait("redis", lambda: _listens(self._ports["redis"]))
        self._wait("store", lambda: _listens(self._ports["store"]))
        self._start_api()
        self._start_worker()
        self._wait("worker", lambda: self._answers("/connected"))
        threading.Thread(target=self._supervise, daemon=True).start()

    def close(self) -> None:
        """Stop everything; the folder with the logs goes too."""
        self._closing.set()
        for name in ("worker", "api", "store", "redis"):
            process = self._processes.get(name)
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for wire in (self.api, self.store):
            wire.close()
        for log in self._logs:
            log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self, name: str, how: int = signal.SIGKILL) -> int:
        """Send a signal to the "api", the "worker", its "actor", or the actor's "runner"s; gives a process's id."""
        pid = int(self.folder.joinpath(f"{'actor' if name == 'runner' else name}.pid").read_text())
        if name == "runner":
            runners = [
                child.pid for child in psutil.Process(pid).children() if "sandbox.runner" in str(child.cmdline())
            ]
            for pid in runners:
                os.kill(pid, how)
        else:
            os.kill(pid, how)
        return pid

    def bytes_on_the_wire(self) -> tuple[int, int]:
        """Bytes that clients have sent and received so far, headers and polling included."""
        return self.api.up + self.store.up, self.api.down + self.store.down

    def variables(self, key: str) -> dict[str, str]:
        """What a client needs to know, as environment variables."""
        keys = {"trusted": self.trusted_key, "sandboxed": self.sandboxed_key}
        named = {"REAL_NDIF_URL": self.url, "REAL_NDIF_FOLDER": str(self.folder), "NDIF_API_KEY": keys[key]}
        return named | {f"REAL_NDIF_{kind.upper()}_KEY": value for kind, value in keys.items()}

    def installed(self, name: str) -> str:
        """The version of a package at the server."""
        return self._asked(f"from importlib.metadata import version; print(version({name!r}))").stdout.strip()

    def _asked(self, source: str) -> subprocess.CompletedProcess[str]:
        command = [self.python, "-c", source]
        given: dict[str, Any] = {"cwd": self.folder, "env": self._environment(), "text": True, "check": False}
        return subprocess.run(command, capture_output=True, **given)

    def output(self, name: str, lines: int = 40) -> str:
        """The end of what a process printed."""
        log = self.folder / f"{name}.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NDIF_", "NNSIGHT_"))
        }
        local = "127.0.0.1,localhost"
        settings = {
            "NDIF_REDIS_URL": f"redis://127.0.0.1:{self._ports['redis']}",
            "NDIF_OBJECT_STORE_URL": f"http://127.0.0.1:{self._ports['store']}",
            "NDIF_OBJECT_STORE_PUBLIC_URL": f"http://127.0.0.1:{self.store.port}",
            "NDIF_AUTOSCALING_MAX_REPLICAS": "1",
            "REAL_NDIF_TRUSTED_KEY": self.trusted_key,
            "REAL_NDIF_SANDBOXED_KEY": self.sandboxed_key,
            "NO_PROXY": local,
            "no_proxy": local,
        }
        return kept | settings

    def _start(self, name: str, command: list[str]) -> None:
        log = self.folder.joinpath(f"{name}.log").open("ab")
        self._logs.append(log)
        process = self._processes[name] = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the command
        )
        self.folder.joinpath(f"{name}.pid").write_text(str(process.pid))

    def _start_api(self) -> None:
        self._start("api", [self.python, str(HERE / "api.py"), str(self._ports["api"])])

    def _start_worker(self) -> None:
        self._start("worker", [self.python, *self._worker])

    def _supervise(self) -> None:
        again = {"api": self._start_api, "worker": self._start_worker}
        while not self._closing.wait(0.2):
            for name, start in again.items():
                if self._processes[name].poll() is not None and not self._closing.wait(self.restart_after):
                    start()

    def _wait(self, name: str, ready: Any) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not ready():
            dead = [each for each, process in self._processes.items() if process.poll() is not None]
            if dead or time.monotonic() > deadline:
                told = "\n".join(f"{each}:\n{self.output(each)}" for each in dead or [name])
                raise RuntimeError(f"{', '.join(dead) or name} did not come up; {told}")
            time.sleep(0.2)

    def _answers(self, path: str) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self._ports['api']}{path}", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def main() -> int:
    """Serve, and run the command if there is one; gives its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", default=sys.executable, help="the server's interpreter (by default this one)")
    parser.add_argument("--key", choices=("trusted", "sandboxed"), default="sandboxed", help="which NDIF_API_KEY is")
    parser.add_argument("--dtype", default="float32", help="of the weights: float32, bfloat16")
    parser.add_argument("--port", type=int, default=0, help="of the API; 0 takes a free one")
    parser.add_argument("--runners", type=int, default=1, help="sandbox processes that are kept warm")
    parser.add_argument("--timeout", type=float, help="seconds that a job may run")
    parser.add_argument("--restart-after", type=float, default=1.0, help="seconds before what died is started again")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = vars(parser.parse_args())
    key, command = options.pop("key"), options.pop("command")
    command = command[1:] if command[:1] == ["--"] else command
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(143))
    with RealNdif(options.pop("python"), **options) as ndif:
        variables = ndif.variables(key)
        if command:
            status = subprocess.run(command, env={**os.environ, **variables}, check=False).returncode
            if status:
                print(f"the worker's last words:\n{ndif.output('worker')}", file=sys.stderr)
            return status
        print("\n".join(f"export {name}={value}" for name, value in variables.items()), flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
