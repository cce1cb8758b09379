"""A dissection of the embedded model with words and labels, its report, and a browser to open that in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from and_nnsight import Dissection, dissect
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.explain import explain, label
from and_nnsight.look import Report, write_report
from tests.look.browser import Visit, chromium, playwright_driver

SITES = ["blocks.1.mlp.hook_post", "blocks.2.mlp.hook_post"]
UNITS = 12


@pytest.fixture(scope="session")
def dissection(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    folder = tmp_path_factory.mktemp("look") / "run"
    sounds = list(make_sounds(per_class=4))
    made = dissect(str(tiny_ast_path()), sounds, SITES, k=4, out=folder, device="cpu", progress=False)
    explain(made, progress=False)
    label(made, "labels", method="db", progress=False)
    return made


@pytest.fixture(scope="session")
def written(dissection: Dissection, tmp_path_factory: pytest.TempPathFactory) -> Report:
    out = tmp_path_factory.mktemp("report") / "report.html"
    sounds = list(make_sounds(per_class=4))
    return write_report(dissection, out, best=UNITS, data=sounds, progress=False)


@pytest.fixture(scope="session")
def driver() -> Iterator[Any]:
    with playwright_driver() as started:
        yield started


@pytest.fixture(scope="session")
def browser(driver: Any) -> Iterator[Any]:
    with chromium(driver) as opened:
        yield opened


@pytest.fixture
def visit(browser: Any, written: Report) -> Iterator[Visit]:
    with Visit(browser, written.path) as opened:
        yield opened
