"""A loopback NDIF in a process of its own, where our package cannot be imported, and clients in processes of theirs."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import time
import urllib.error
import urllib.parse
import urllib.request
import venv
from pathlib import Path
from typing import Any

SERVER = Path(__file__).with_name("ndif_server")
# An NDIF has neither our package nor what it is written with.
HIDDEN = ("and_nnsight", "einops", "jaxtyping", "beartype")
READY_SECONDS = 120.0
POLL_SECONDS = 0.1

_HIDING = '''"""Hides packages: they can be neither imported nor found, and their distributions are not listed."""
import sys
from importlib.machinery import PathFinder

HIDDEN = {hidden!r}


def hidden(name):
    root = name.partition(".")[0].replace("-", "_").lower()
    return root in HIDDEN or root.startswith("and_nnsight")


class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if hidden(name) else PathFinder.find_spec(name, path, target)

    @classmethod
    def find_distributions(cls, *arguments, **options):
        found = PathFinder.find_distributions(*arguments, **options)
        return (one for one in found if not hidden(one.metadata["Name"] or ""))


sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
'''


AS_INSTALLED = """
import nnsight.ndif
nnsight.ndif._PULLED_ENV = True
"""
_RUN_AS_INSTALLED = f"""
import contextlib, pathlib, runpy, sys
with contextlib.suppress(ImportError):
    import beartype  # before nnsight, which hangs `save` on every object
{AS_INSTALLED}
del sys.argv[0]
sys.path[0] = str(pathlib.Path(sys.argv[0]).parent)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def make_environment(folder: Path) -> Path:
    """A virtual environment that borrows the running interpreter's packages, all but `HIDDEN`; gives its interpreter.

    The borrowed folders are named by plain lines in a `.pth` file: the `.pth` files in them are not read, so what is
    installed there as editable stays away.
    """
    builder = venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt")
    builder.create(folder)
    python = Path(builder.ensure_directories(folder).env_exe)
    named = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *sys.path]
    borrowed = [path for path in dict.fromkeys(named) if Path(path).name in ("site-packages", "dist-packages")]
    variables = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", "nt" if os.name == "nt" else "posix_prefix", variables))
    packages.mkdir(parents=True, exist_ok=True)
    packages.joinpath("borrowed.pth").write_text("".join(f"{path}\n" for path in borrowed if Path(path).is_dir()))
    # By a .pth file: a `sitecustomize` of the system's (Debian has one) would come before ours.
    packages.joinpath("hiding_packages.py").write_text(_HIDING.format(hidden=HIDDEN))
    packages.joinpath("hiding.pth").write_text("import hiding_packages\n")
    return python


def clean_environment(**given: str) -> dict[str, str]:
    """This process's variables without the user's NDIF settings, offline, and with no proxy before the loopback.

    One thread, as in pytest's own processes: several sum in another order where weights lie at other addresses.
    """
    dropped = ("NDIF_", "NNSIGHT_", "PYTEST_", "COV_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    local = "127.0.0.1,localhost"
    ours = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "NO_PROXY": local, "no_proxy": local}
    return {**kept, **ours, **given}


class Loopback:
    """A loopback NDIF. Its first `start` makes the environment; what it stores outlives a restart, as NDIF's does.

    `settings` are what it starts with: see `ndif_server/faults.py`. Everything lies in `folder`, or a temporary one.
    """

    def __init__(self, folder: Path | None = None, *, threads: int = 1, **settings: Any) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="loopback-") if folder is None else None
        self.folder = Path(self._temporary.name) if self._temporary else Path(folder or ".")
        self.settings, self.threads, self.url = settings, threads, ""
        self.process: subprocess.Popen[bytes] | None = None
        self._python: Path | None = None
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __enter__(self) -> Loopback:
        self.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> Loopback:
        """Start it and wait until it answers; on the same port as before, if there was one. No-op while it runs.

        Raises: RuntimeError with the server's output if it dies or does not answer in `READY_SECONDS`.
        """
        if self.running:
            return self
        self.stop()
        first = self._python is None
        if self._python is None:
            self._python = make_environment(self.folder / "environment")
        empty, announced = self.folder / "empty", self.folder / "address"
        empty.mkdir(exist_ok=True)
        announced.unlink(missing_ok=True)
        command = [str(self._python), "-P", str(SERVER), "--end-with-parent", "--announce", str(announced)]
        command += ["--port", str(urllib.parse.urlsplit(self.url).port or 0), "--threads", str(self.threads)]
        command += ["--store", str(self.folder / "store"), "--settings", json.dumps(self.settings)]
        # No PYTHON* variable may lead back to our sources; warnings that are errors here are none of the server's.
        variables = {name: value for name, value in clean_environment().items() if not name.startswith("PYTHON")}
        variables["NNSIGHT_CONFIG"] = str(empty / "none.yaml")
        with self.folder.joinpath("output.txt").open("ab") as output:
            # A session of its own: Ctrl-C is for the tests, and the server ends when its standard input does.
            self.process = subprocess.Popen(
                command,
                cwd=empty,
                env=variables,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        atexit.register(self.kill)
        self._wait(announced)
        self.url = announced.read_text()
        if first:
            for name in HIDDEN:
                assert not self.get("/_importable", name=name)["importable"], f"the server can import {name}"
        return self

    def _wait(self, announced: Path) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not announced.exists():
            if not self.running or time.monotonic() > deadline:
                how = "did not come up" if self.running else "died"
                self.kill()
                raise RuntimeError(f"the loopback server {how}:\n{self.output()}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End it, as a server that is told to: what it does is not finished."""
        self._end(kill=False)

    def kill(self) -> None:
        """End it at once, as a machine that fails."""
        self._end(kill=True)

    def _end(self, kill: bool) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        atexit.unregister(self.kill)
        if process.poll() is None:
            process.kill() if kill else process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()

    def restart(self, kill: bool = True) -> Loopback:
        """End and start it on the same port; what was running or waiting is lost, what was stored stays."""
        self._end(kill)
        return self.start()

    def wait_for_end(self, seconds: float = READY_SECONDS) -> int:
        """Wait until it has died by itself, as `die_on` makes it; gives its exit code."""
        assert self.process is not None
        return self.process.wait(timeout=seconds)

    def close(self) -> None:
        """End it and remove what it stored."""
        self.kill()
        if self._temporary is not None:
            self._temporary.cleanup()

    def output(self) -> str:
        """What it printed."""
        path = self.folder / "output.txt"
        return path.read_text(errors="replace") if path.exists() else ""

    def get(self, path: str, headers: dict[str, str] | None = None, **query: str) -> Any:
        """The JSON that a GET gives."""
        question = f"?{urllib.parse.urlencode(query)}" if query else ""
        return self._call(urllib.request.Request(f"{self.url}{path}{question}", headers=headers or {}))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON that a POST of JSON gives."""
        headers = {"content-type": "application/json"}
        return self._call(urllib.request.Request(f"{self.url}{path}", json.dumps(body).encode(), headers))

    def _call(self, request: urllib.request.Request) -> Any:
        try:
            with self._opener.open(request, timeout=READY_SECONDS) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(f"{request.full_url}: {error.code}: {error.read().decode()}") from error

    def faults(self, **changes: Any) -> dict[str, Any]:
        """Change settings while it runs, until the next restart or reset; gives all of them, with the counts left."""
        return self.post("/_faults", changes)

    def log(self) -> dict[str, Any]:
        """`jobs`, in the order in which they came; bytes by route, in `routes`; and in `total`."""
        return self.get("/_log")

    def reset(self) -> None:
        """The settings that it was started with, no jobs, nothing stored, nothing counted. Loaded models stay."""
        self.post("/_reset", {})


def run_client(
    script: str | Path,
    *arguments: object,
    folder: Path,
    env: dict[str, str] | None = None,
    check: bool = True,
    as_installed: bool = True,
    timeout: float = 600.0,
) -> subprocess.CompletedProcess[str]:
    """Run a script, by its text or its path, in a fresh process of this interpreter, without pytest's import hook.

    Blocks need their source on disk, and jaxtyping's wrappers do not survive being shipped as source. The text is
    written into `folder`, which is also where the script runs. It is offline, and knows nothing of the user's NDIF:
    no host and no key but those that `env` names.

    nnsight ships every module that it takes for the user's own, which packages installed as editable are to it. With
    `as_installed` it ships none by itself, as where our package is installed from a wheel: what must travel then has to
    be registered, as users need it.

    Raises: AssertionError with what the client said if it fails, unless `check` is false; subprocess.TimeoutExpired.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(script, str):
        with tempfile.NamedTemporaryFile("w", prefix="client_", suffix=".py", dir=folder, delete=False) as file:
            file.write(textwrap.dedent(script))
        script = Path(file.name)
    config = folder / "nnsight-none.yaml"
    config.touch()
    done = subprocess.run(
        [sys.executable, *(["-c", _RUN_AS_INSTALLED] if as_installed else []), str(script), *map(str, arguments)],
        cwd=folder,
        env=clean_environment(NNSIGHT_CONFIG=str(config), **(env or {})),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        check=False,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"the client failed ({done.returncode}):\n{done.stdout}\n{done.stderr}")
    return done
