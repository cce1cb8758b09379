"""A pytest plugin that runs mutants: tests are collected once, and each mutant is a fork of the process that did it.

`python -m pytest -p benchmarks._mutants TESTS` in a tree that mutmut has written. First every test runs on the code as
it is, which shows what functions it reaches and how long it takes. Then, a mutant at a time, a fork switches the mutant
on and runs the tests that reach its function, the fastest first, until one fails. MUTANTS names the mutated files,
MOST says how many mutants of a file are drawn at most (the same ones on every run), MUTANTS_OUT is the JSON file that
results are written to; mutants that are in it already are not run again.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import json
import os
import random
import signal
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import hypothesis
import pytest

_SWITCH = "MUTANT_UNDER_TEST"
_PATIENCE = 30.0  # seconds, beside four times what its tests need, before a mutant counts as one that never ends


def pytest_configure() -> None:
    """One failing example kills a mutant: none is made smaller."""
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutants", parent=hypothesis.settings(), phases=phases, database=None)
    hypothesis.settings.load_profile("mutants")


class Functions:
    """The functions of a mutated file: as they were, and every mutant of them."""

    def __init__(self, file: Path) -> None:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        self._nodes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}

    def wording(self, mutant: str) -> bool:
        """Whether only the text of an error or a warning is another."""
        before, after = (ast.dump(_WithoutMessages().visit(self._read(name))) for name in self._names(mutant))
        return before == after

    def difference(self, mutant: str) -> list[str]:
        """The lines that are others, before and after."""
        before, after = (ast.unparse(self._read(name)).splitlines() for name in self._names(mutant))
        lines = difflib.unified_diff(before, after, n=0, lineterm="")
        return [line for line in lines if not line.startswith(("---", "+++", "@@"))]

    def _names(self, mutant: str) -> tuple[str, str]:
        name = mutant.rpartition(".")[2]
        return name.rpartition("__mutmut_")[0] + "__mutmut_orig", name

    def _read(self, name: str) -> ast.FunctionDef:
        copied = ast.parse(ast.unparse(self._nodes[name])).body[0]
        assert isinstance(copied, ast.FunctionDef)
        copied.name = "function"
        return copied


class _WithoutMessages(ast.NodeTransformer):
    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.copy_location(ast.Pass(), node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        named = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return ast.Constant(None) if named in ("warn", "print") else self.generic_visit(node)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Run the tests on the code as it is, then on each mutant."""
    reached, seconds = _run_as_it_is(session)
    out = Path(os.environ["MUTANTS_OUT"])
    results: dict[str, Any] = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    for file in os.environ["MUTANTS"].split():
        generated = list(json.loads(Path(f"{file}.meta").read_text(encoding="utf-8"))["exit_code_by_key"])
        functions = Functions(Path(file))
        names = [name for name in generated if not functions.wording(name)]
        most = int(os.environ["MOST"])
        drawn = names if len(names) <= most else random.Random(0).sample(names, most)
        record = results.setdefault(file, {"generated": len(generated), "wording": len(generated) - len(names)})
        record.setdefault("mutants", {})
        for name in drawn:
            if name in record["mutants"]:
                continue
            tests = sorted(reached[_function_of(name)], key=seconds.__getitem__)
            limit = _PATIENCE + 4 * sum(seconds[test] for test in tests)
            status = _run_mutant(session, name, tests, limit) if tests else "no test"
            record["mutants"][name] = {"status": status, "tests": len(tests), "difference": functions.difference(name)}
            out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return True


def _function_of(mutant: str) -> str:
    return importlib.import_module("mutmut.utils.format_utils").mangled_name_from_mutant_name(mutant)


def _run_as_it_is(session: pytest.Session) -> tuple[dict[str, set[int]], list[float]]:
    """Which tests reach each function, and the seconds each test takes. Raises RuntimeError if a test fails."""
    reached: dict[str, set[int]] = defaultdict(set)
    seconds: list[float] = []

    def note(name: str, **_: Any) -> None:
        reached[name].add(len(seconds))

    trampoline: Any = importlib.import_module("mutmut.mutation.trampoline")
    trampoline.record_trampoline_hit = note
    os.environ[_SWITCH] = "stats"
    for item, following in zip(session.items, [*session.items[1:], None], strict=True):
        began = time.monotonic()
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        seconds.append(time.monotonic() - began)
    os.environ[_SWITCH] = ""
    if session.testsfailed:
        raise RuntimeError("tests fail on the code as it is")
    return reached, seconds


def _run_mutant(session: pytest.Session, name: str, tests: list[int], limit: float) -> str:
    """What becomes of a mutant: killed, survived or timeout."""
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        for output in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), output)
        os.environ[_SWITCH] = name
        try:
            for test in tests:
                session.config.hook.pytest_runtest_protocol(item=session.items[test], nextitem=None)
                if session.testsfailed:
                    break
        except BaseException:
            os._exit(1)
        os._exit(int(session.testsfailed > 0))
    end = time.monotonic() + limit
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return "killed" if status else "survived"
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout"
