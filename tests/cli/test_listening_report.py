"""`and-nnsight score --listener`: what was heard in a few lines, and on a unit's card."""

from __future__ import annotations

import functools
import re
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from and_nnsight import plugins
from tests.cli.commands import run_command
from tests.explain.audible_dissection import RATE, audible, clip_of
from tests.explain.scored_dissection import KINDS, SITE, UNITS
from tests.explain.small_dissection import with_summaries

pytestmark = pytest.mark.slow

SEED, CLIPS = 2, 200


class Ear:
    """Knows what kind of sound each clip is, and says yes where the statement names it."""

    name, sampling_rate, threshold = "ear", RATE, 0.5

    def __init__(self, argument: str = "") -> None:
        self.kinds = np.random.default_rng(SEED).integers(len(KINDS), size=CLIPS)  # as `written` draws them
        self.silent = argument == "silent"

    def fits(self, questions):
        for question in questions:
            kinds = [KINDS[self.kinds[clip_of(samples)]] for samples in question.clips]
            if self.silent:
                yield [float("nan") for _ in kinds]
            elif question.statement is None:
                yield [float(kinds.count(kind)) for kind in kinds]
            else:
                yield [float(kind in question.statement.lower()) for kind in kinds]


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = plugins._scan()
    made = EntryPoint("ear", f"{__name__}:Ear", "and_nnsight.listeners")
    vars(made)["dist"] = SimpleNamespace(name="a-plugin")
    monkeypatch.setattr(plugins, "_scan", lambda: (*real, made))


run = functools.partial(run_command, columns=80)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    explained, held_out = audible(tmp_path / "explained", seed=1), audible(tmp_path / "held", SEED, CLIPS)
    said = {(SITE, unit): (f"{KINDS[unit % 5].capitalize()} (5 of 5).", None) for unit in range(len(UNITS))}
    with_summaries(explained, said)
    return explained.folder, held_out.folder


def test_it_says_how_often_the_listener_was_right_and_what_chance_would_reach(folders) -> None:
    explained, held_out = folders
    code, out, _ = run("score", explained, "--held-out", held_out, "--listener", "ear", "--sites", SITE, "--quiet")
    assert code == 0
    heard = out[out.index("By ear (ear), explanation, held out, with 95% intervals:") :].splitlines()
    assert re.fullmatch(r"  \d+% \(\d+–\d+%\) of 220 excerpts judged rightly \(chance 50%\)", heard[1])
    assert heard[2].startswith("  by words for other units ")
    assert "claims hold by ear" in heard[3]
    assert re.fullmatch(r"  intruder among five clips found in \d+% \(\d+–\d+%\) of 25 trials \(chance 20%\)", heard[4])
    assert "1 not judged: the unit is the same, or not finite, on all held-out clips" in out
    assert str(explained / "explanations" / "listening.parquet") in out
    assert all(len(line) <= 80 for line in heard[:5])
    _, out, _ = run("show", explained, SITE, UNITS.index("bell"))
    card = " ".join(out.split())
    assert "By ear (ear): 20 of 20 excerpts judged rightly (chance 10, by the words for 3 other units " in card
    assert "intruder found 2 of 2 times (chance 0.4; p 0.04)." in card


def test_what_a_listener_does_not_answer_is_said_and_nothing_is_put_in_its_place(folders) -> None:
    explained, held_out = folders
    _, out, _ = run("score", explained, "--held-out", held_out, "--listener", "ear:silent", "--sites", SITE, "--quiet")
    heard = out[out.index("By ear (ear:silent), explanation, held out") :]
    assert "judged rightly" not in heard
    assert "11 not judged: the listener answered with a number that is not finite" in heard
    assert "11 without an intruder: the listener answered with a number that is not finite" in heard


def test_it_is_listed_and_an_unknown_one_is_an_error_in_one_sentence(folders) -> None:
    explained, held_out = folders
    _, out, _ = run("plugins")
    assert "listener" in out
    assert "Knows what kind of sound each clip is" in out
    code, _, error = run("score", explained, "--held-out", held_out, "--listener", "tin", "--quiet")
    assert code == 2
    assert "unknown listener 'tin'" in error
    assert error.count("\n") == 1
