"""What a unit fires on, in words: on the card, the command line, and a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from and_nnsight import Annotation, Annotations, AudioModel, Dissection, DissectionError, best_units, fires_on
from and_nnsight.dissection.firing import FiringCheck
from and_nnsight.explain import card
from tests.cli.commands import run_command
from tests.run.runs import quick
from tests.speech.planted_phones import PHONES, RATE, SITE, Listener, utterance

HOSTILE = "<b>[bold]S"


@pytest.fixture(scope="module")
def dissection(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    utterances = [utterance(seed) for seed in range(24)]
    spoken = {
        clip: [Annotation(each.tier, each.label.replace("SH", HOSTILE), each.start, each.end) for each in one.phones]
        for clip, one in enumerate(utterances)
    }
    spoken[0] = [*spoken[0], Annotation("phones", "once", 0.0, 0.1)]
    data = [{"audio": one.samples, "sampling_rate": RATE} for one in utterances]
    return quick(
        AudioModel(Listener()), data, tmp_path_factory.mktemp("firing") / "run", annotations=Annotations.of(spoken)
    )


def test_units_say_what_they_fire_on(dissection: Dissection) -> None:
    for unit, phone in enumerate(PHONES[:-1]):
        (first, *others) = fires_on(dissection, SITE, unit)
        assert (first.concept, first.unit, others) == (f"phones: {phone}", unit, [])
        assert first.above_base > 0.9
        words = f"phones: {phone} (AUPRC {first.auprc:.2f}, base rate {first.base_rate:.2f}, p "
        assert str(first).startswith(words) and str(first).endswith(f"{first.clips} clips)")
    with pytest.raises(DissectionError, match="has units 0 to 7, not 8"):
        fires_on(dissection, SITE, 8)


def test_the_best_units_of_concepts(dissection: Dissection) -> None:
    best = best_units(dissection, sites=[SITE])
    assert [(row.concept, row.unit) for row in best] == [
        ("phones: <b>[bold]S", 4), *((f"phones: {phone}", unit) for unit, phone in enumerate(PHONES[:-1]))
    ]  # fmt: skip
    twice = best_units(dissection, "phones: S", most=2)
    assert [row.site for row in twice] == [SITE, "blocks.1.mlp.hook_post"]
    with pytest.raises(DissectionError, match="no concept is called 'words: sea'; there are phones: <b>"):
        best_units(dissection, "words: sea")


def test_turned_round_next_to_nothing_holds(dissection: Dissection) -> None:
    check = FiringCheck.of(dissection)
    assert check.tested == 2 * 8 * 5
    assert check.held >= 10 and check.held_turned <= 2


def test_the_command_lists_them_and_what_was_left_out(dissection: Dissection) -> None:
    code, printed, _ = run_command("fires-on", dissection.folder, "--sites", SITE)
    assert code == 0
    assert "phones: <b>[bold]S" in printed and f"{SITE}:4" in printed
    assert "of 80 pairs of unit and concept hold at a false-discovery rate of 5%" in printed
    assert "Left out: 1 label: 1 in fewer than 5 clips." in printed
    code, _, error = run_command("fires-on", dissection.folder, "--concept", "words: *")
    assert code == 2 and "no concept is called 'words: *'" in error
    code, printed, _ = run_command("show", dissection.folder, SITE, 4)
    assert code == 0 and "Fires on\n  phones: <b>[bold]S (AUPRC" in printed


def test_cards_and_pages_have_it_escaped(dissection: Dissection) -> None:
    from and_nnsight.look.notebook import card_html

    shown = card(dissection, SITE, 4)
    assert shown.firing[0].concept == f"phones: {HOSTILE}"
    html = card_html(shown) or ""
    assert "Fires on" in html and "phones: &lt;b&gt;[bold]S" in html and HOSTILE not in html


def test_without_annotations_there_is_nothing_to_say(tmp_path: Path) -> None:
    data = [utterance(0).samples, utterance(1).samples]
    plain = quick(AudioModel(Listener()), data, tmp_path / "run")
    assert fires_on(plain, SITE, 0) == ()
    code, _, error = run_command("fires-on", plain.folder)
    assert code == 2 and "was made without annotations" in error
