"""All the steps in a row, offline, over a real dissection of the embedded model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from and_nnsight import Dissection, DissectionError, dissect
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.explain import ChatOptions, Conversation, Evidence, Failure, Summary, card, explain, label, read_table
from and_nnsight.explain.describe.captions import caption_clips
from and_nnsight.explain.describe.options import CaptionOptions
from and_nnsight.explain.records.reading import table_settings
from and_nnsight.plugins import PluginError

pytestmark = pytest.mark.slow

SITE = "blocks.3.mlp.hook_post"


@pytest.fixture(scope="module")
def dissected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "tiny"
    sounds = list(make_sounds(3))
    dissect(str(tiny_ast_path()), sounds, [SITE, "unembed.hook_out"], 6, out=out, progress=False)
    return out


@pytest.fixture
def dissection(dissected: Path, tmp_path: Path) -> Dissection:
    import shutil

    return Dissection.load(shutil.copytree(dissected, tmp_path / "copy"))


def tables(dissection: Dissection) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((dissection.folder / "explanations").glob("*.parquet"))}


def test_every_step_leaves_its_table_and_a_second_call_changes_nothing(dissection: Dissection) -> None:
    answers = explain(dissection, units=range(12), progress=False)
    assert list(answers) == ["captions", "summaries", "calibrated", "concepts"]
    before = tables(dissection)
    assert {"captions.parquet", "summaries.parquet", "calibrated.parquet", "concepts.parquet"} <= set(before)
    assert len(answers["summaries"]) == 2 * 12
    explain(dissection, units=range(12), progress=False)
    assert tables(dissection) == before


def test_how_clips_sound_is_told_where_it_is_asked_for(dissection: Dissection) -> None:
    sounds = list(make_sounds(3))
    captions: Any = {"steps": ("captions", "summaries"), "units": range(32)}
    plain = explain(dissection, progress=False, **captions)["summaries"]
    told = explain(dissection, summarizer="keywords:traits", data=sounds, progress=False, **captions)["summaries"]
    assert table_settings(dissection, "summaries")["traits"] is not None
    assert sum(" sounds" in (row.highly or "") for row in told) > sum(" sounds" in (row.highly or "") for row in plain)
    other = explain(
        dissection,
        summarizer="keywords:traits",
        data=sounds,
        progress=False,
        **captions | {"units": [5], "sites": SITE},
    )
    assert next(row for row in other["summaries"] if (row.site, row.unit) == (SITE, 5)) in told
    with pytest.raises(PluginError, match="unknown form 'loud'"):
        explain(dissection, summarizer="keywords:loud", progress=False, **captions)


def test_without_the_audio_nobody_can_tell_how_clips_sound(dissection: Dissection) -> None:
    with pytest.raises(DissectionError, match="pass data="):
        explain(dissection, summarizer="keywords:traits", progress=False)


def test_more_units_can_be_added_later_and_end_in_the_same_tables(dissection: Dissection, dissected: Path) -> None:
    explain(dissection, units=range(4), progress=False)
    explain(dissection, sites=SITE, units=range(4, 9), progress=False)
    explain(dissection, units=range(9), progress=False)
    in_two_goes = {name: read_table(dissection, name.removesuffix(".parquet")) for name in tables(dissection)}
    import shutil

    other = Dissection.load(shutil.copytree(dissected, dissection.folder.with_name("other")))
    explain(other, units=range(9), progress=False)
    assert {name: read_table(other, name.removesuffix(".parquet")) for name in tables(other)} == in_two_goes


def test_a_card_holds_everything_that_was_said_of_a_unit(dissection: Dissection) -> None:
    plain = card(dissection, SITE, 3)
    assert plain.summary is None
    assert plain.unit == dissection.unit(SITE, 3)
    explain(dissection, units=range(12), progress=False)
    cards = [card(dissection, SITE, unit) for unit in range(12)]
    said = [this for this in cards if this.summary]
    assert said
    assert all(this.calibrated is not None for this in said)
    assert any(this.concepts for this in said)
    for this in said:
        assert set(this.captions) >= set(this.unit.top[:5])
    for this in cards:
        assert (this.summary is None) == ("summary" in this.failures) or this.lowly is None


def test_a_step_alone_needs_the_one_before_it(dissection: Dissection) -> None:
    with pytest.raises(DissectionError, match="no captions yet"):
        explain(dissection, steps=["summaries"], progress=False)
    with pytest.raises(ValueError, match="unknown step 'captoins': one of captions, summaries"):
        explain(dissection, steps=["captoins"], progress=False)


class Parrot:
    """A chat model of one sentence."""

    name = "parrot"

    def chat(self, conversations: Sequence[Conversation], options: ChatOptions) -> list[str]:
        return ["They sound alike."] * len(conversations)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"threshold": 7.0}, "the threshold is a cosine"),
        ({"text_encoder": "wrods"}, "unknown text encoder 'wrods'"),
        ({"text_encoder": "sentence-transformers"}, "needs more: sentence-transformers:"),
        ({"summarizer": "llm"}, "summarizer 'llm' needs a chat"),
        ({"summarizer": "llm:short", "chat": Parrot()}, "unknown form 'short' of llm: one of contrast, plain"),
        ({"captioner": "colum:caption"}, "unknown captioner 'colum:caption'"),
    ],
)
def test_a_slip_is_told_before_anything_is_made(dissection: Dissection, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        explain(dissection, progress=False, **wrong)
    assert not (dissection.folder / "explanations").exists()


def test_steps_after_one_that_was_made_anew_are_made_anew(dissection: Dissection) -> None:
    explain(dissection, units=range(3), threshold=0.6, progress=False)
    loose = read_table(dissection, "calibrated")
    explain(dissection, units=range(3), threshold=0.0, progress=False)
    strict = read_table(dissection, "calibrated")
    assert sum(len(row.kept or ()) for row in strict) <= sum(len(row.kept or ()) for row in loose)
    assert table_settings(dissection, "calibrated")["threshold"] == 0.0


class Comparing:
    """Remembers what it was given to compare; `contrast`: whether it wants something to compare with."""

    name = "comparing"

    def __init__(self, contrast: bool) -> None:
        self.wants_contrast = contrast
        self.given: list[Evidence] = []

    def summarize(self, evidence: Sequence[Evidence]) -> Iterator[Summary]:
        self.given += evidence
        yield from (Summary("A sound.", "Another.") for _ in evidence)


@pytest.mark.parametrize(
    ("summarizer", "wanted"),
    [(Comparing(False), False), (Comparing(True), True), ("llm", False), ("llm:contrast", True), ("keywords", False)],
)
def test_contrast_clips_are_captioned_and_told_to_a_summarizer_that_wants_them_and_to_no_other(
    dissection: Dissection, summarizer: Any, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from and_nnsight.explain import pipeline

    contrasts: list[bool] = []

    def noting(dissection: Dissection, captioner: Any, options: CaptionOptions, *others: Any) -> Any:
        contrasts.append(options.contrast)
        return caption_clips(dissection, captioner, options, *others)

    monkeypatch.setattr(pipeline, "caption_clips", noting)
    steps = ["captions", "summaries"]
    rows = explain(
        dissection, summarizer=summarizer, chat=Parrot(), sites=SITE, units=range(6), steps=steps, progress=False
    )
    assert contrasts == [wanted]
    assert any(row.contrast_clips for row in rows["summaries"]) == wanted
    if isinstance(summarizer, Comparing):
        compared = {unit.unit: [exemplar.clip for exemplar in unit.contrast] for unit in summarizer.given}
        assert {row.unit: row.contrast_clips for row in rows["summaries"]} == compared


class Thinker:
    """A chat model that says something of all it is asked, and remembers how long its answers might have been."""

    name = "thinker"

    def __init__(self) -> None:
        self.allowed: list[int] = []

    def chat(self, conversations: Sequence[Conversation], options: ChatOptions) -> Iterator[str]:
        for conversation in conversations:
            self.allowed.append(options.max_tokens)
            judged = conversation[-1].content.startswith("Can the adjective")
            yield "Yes." if judged else f"A loud sound number {len(self.allowed)} is heard."


@pytest.mark.parametrize(("asked", "of_words"), [(None, 16), (100, 16), (4_000, 4_000)])
def test_a_model_that_needs_room_to_think_has_it_when_it_judges_words(
    dissection: Dissection, asked: int | None, of_words: int
) -> None:
    thinker = Thinker()
    options = None if asked is None else ChatOptions(max_tokens=asked)
    explain(dissection, units=[0, 1], chat=thinker, options=options, threshold=1.0, progress=False)
    assert thinker.allowed[0] == (asked or 256)
    assert thinker.allowed[-1] == of_words


def test_labels_out_of_two_lists_stay_apart_on_a_card(dissection: Dissection) -> None:
    lists = (["hiss", "tone", "bell"], ["sweep", "click", "noise"])
    for names in lists:
        label(dissection, names, units=[3], progress=False)
    labels = card(dissection, SITE, 3).labels
    assert [shown.rank for shown in labels] == [0, 1, 2, 0, 1, 2]
    assert {frozenset(shown.concept for shown in labels[half : half + 3]) for half in (0, 3)} == set(
        map(frozenset, lists)
    )
    assert len({shown.concepts for shown in labels}) == 2


class Interrupted:
    """A summarizer that is stopped by Ctrl-C after some units; `told` counts what it was asked."""

    name = "interrupted"

    def __init__(self, after: int) -> None:
        self.after, self.told = after, 0

    def summarize(self, evidence: Sequence[Evidence]) -> Iterator[Summary | Failure]:
        for unit in evidence:
            if self.told == self.after:
                raise KeyboardInterrupt
            self.told += 1
            yield Summary(f"Unit {unit.unit} hears {unit.highly[0].caption}", f"Not {unit.lowly[0].caption}")


def test_what_was_answered_before_ctrl_c_is_not_asked_again(dissection: Dissection) -> None:
    with pytest.raises(KeyboardInterrupt):
        explain(dissection, sites=SITE, units=range(30), summarizer=Interrupted(10), progress=False)
    kept = len(read_table(dissection, "summaries"))
    assert kept >= 1
    again = Interrupted(-1)
    explain(dissection, sites=SITE, units=range(30), summarizer=again, progress=False)
    rows = read_table(dissection, "summaries")
    assert len(rows) == 30
    assert again.told + kept <= 30
