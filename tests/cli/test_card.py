"""A unit's card in a terminal: why nothing is said stands where the words would, and units that are heads are called so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from and_nnsight import dissect
from and_nnsight.cli._card import print_card
from and_nnsight.cli._card_text import print_text
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.dissection.common_labels import LabelCount
from and_nnsight.explain import card
from and_nnsight.explain.read.unit_card import Card

SITE = "blocks.1.attn.hook_z|heads"


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Card:
    out, sounds = tmp_path_factory.mktemp("run"), list(make_sounds(1))[:3]
    found = dissect(str(tiny_ast_path()), sounds, SITE, k=2, out=out, progress=False, device="cpu")
    return card(found, SITE, 2)


def said(of: Card, failure: str | None = None, **texts: str) -> Card:
    failures = {} if failure is None else {"summary": failure, "calibration": "nothing to calibrate"}
    return replace(of, failures=failures, **texts)


def printed(of: Card) -> list[str]:
    console = Console(record=True, width=80)
    print_text(console, of)
    return [line.rstrip() for line in console.export_text().splitlines()]


@pytest.mark.parametrize(
    ("failure", "unsaid"),
    [
        (None, (None, None)),
        ("highly: no clip tells anything: 2 are copies; 1 lies low", ("no clip tells anything: 2 are copies; 1 lies low", None)),
        ("lowly: no word is common", (None, "no word is common")),
        ("highly: no word is common; lowly: not summarized", ("no word is common", None)),
    ],
)  # fmt: skip
def test_why_nothing_is_said_is_known_of_either_side(
    head: Card, failure: str | None, unsaid: tuple[str | None, str | None]
) -> None:
    assert said(head, failure).unsaid == unsaid


def test_why_nothing_is_said_stands_where_the_words_would(head: Card) -> None:
    assert printed(said(head, "highly: no word is common; lowly: no word is common")) == [
        "In words",
        "  nothing: no word is common",
    ]
    of_bells = said(head, "lowly: no word is common", summary="Bells.", calibrated="Bells.")
    assert printed(of_bells) == [
        "In words",
        "  Bells.",
        "Of the clips it responds least to",
        "  nothing: no word is common",
    ]
    assert printed(head) == []


def test_a_head_is_called_one(head: Card) -> None:
    assert head.dissection is not None
    console = Console(record=True, width=80)
    print_card(console, head.dissection, head)
    assert console.export_text().splitlines()[0] == f"{SITE}, unit 2 of 4 (norms of 4 heads of 16)"


@pytest.mark.parametrize(("count", "of", "shared"), [(1, 8, False), (2, 8, True), (1, 1, True)])
def test_a_label_that_one_of_several_clips_has_is_not_said_of_them(count: int, of: int, shared: bool) -> None:
    assert LabelCount("bell", count, of, share_of_all=0.02).is_shared == shared
