"""Summaries: the evidence is the unit's own, every unit has one row, and no plugin can spoil another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from and_nnsight.dissection.dissection import Dissection
from and_nnsight.dissection.errors import DissectionError
from and_nnsight.dissection.files import site_file
from and_nnsight.explain.describe.evidence import gather
from and_nnsight.explain.describe.summaries import summarize
from and_nnsight.explain.records.description_rows import CaptionRow, SummaryRow
from and_nnsight.explain.records.reading import has_table, read_table, table_settings
from and_nnsight.explain.records.tables import Table
from and_nnsight.explain.records.unit_selection import chosen_units
from and_nnsight.explain.roles import CaptionedExemplar, ChatOptions, Conversation, Evidence, Failure, Span, Summary
from and_nnsight.plugins import PluginError
from and_nnsight.storage import read_tensors, write_json, write_tensors
from tests.explain.small_dissection import CLIPS, SITES, small_dissection

ALL = [(site, unit) for site, width in SITES.items() for unit in range(width)]
CAPTIONS = {Span(clip): f"caption {clip}" for clip in range(CLIPS)}


def with_captions(dissection: Dissection, captions: dict[Span, str | None] | None = None) -> Dissection:
    with Table(dissection, CaptionRow, {"captioner": "test"}) as table:
        table.add(
            CaptionRow(*span, caption=text, raw=text, failure=None if text else "broken", background=True)
            for span, text in (CAPTIONS if captions is None else captions).items()
        )
    return dissection


def change(dissection: Dissection, site: str, **tensors: torch.Tensor) -> Dissection:
    """Other exemplars in a site's file."""
    stored, _ = read_tensors(site_file(dissection.folder, site))
    write_tensors(site_file(dissection.folder, site), {**stored, **tensors})
    return Dissection.load(dissection.folder)


@pytest.fixture
def dissection(tmp_path: Path) -> Dissection:
    """Unit u of the first site has the clips u and u+1 on top; every unit has 5 and 4 at the bottom."""
    dissection = small_dissection(tmp_path / "run")
    width = SITES["first"]
    tops = torch.stack([torch.arange(width), torch.arange(width) + 1])
    bottoms = torch.tensor([[5], [4]]).repeat(1, width)
    return with_captions(change(dissection, "first", top_clips=tops, bottom_clips=bottoms))


class Reader:
    """Summarizes by listing what it was given, and remembers which units it was asked for."""

    name = "reader"

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def summarize(self, evidence: Sequence[Evidence]) -> Iterator[Any]:
        for unit in evidence:
            self.asked.append((unit.site, unit.unit))
            yield self.answer(unit)

    def answer(self, unit: Evidence) -> Any:
        sides = (", ".join(exemplar.caption for exemplar in side) for side in (unit.highly, unit.lowly))
        return Summary(*sides, requests=(f"{unit.site}-{unit.unit}",))


class Echo:
    """A chat model that says one thing of all conversations about the same captions."""

    name = "echo"

    def __init__(self, answer: Callable[[str], Any] = lambda text: "They sound alike.") -> None:
        self.asked: list[str] = []
        self._answer = answer

    def chat(self, conversations: Sequence[Conversation], options: ChatOptions) -> Iterator[Any]:
        for conversation in conversations:
            self.asked.append(conversation[-1].content)
            yield self._answer(conversation[-1].content)


def by_unit(rows: list[SummaryRow]) -> dict[tuple[str, int], SummaryRow]:
    return {(row.site, row.unit): row for row in rows}


def run(dissection: Dissection, summarizer: Any = None, **settings: Any) -> dict[tuple[str, int], SummaryRow]:
    return by_unit(summarize(dissection, summarizer, progress=False, **settings))


def test_evidence_is_what_the_units_exemplars_are(dissection: Dissection) -> None:
    for gathered in gather(dissection, ALL, CAPTIONS, k=2):
        unit = dissection.unit(gathered.evidence.site, gathered.evidence.unit)
        for exemplar, exemplars in ((gathered.evidence.highly, unit.top), (gathered.evidence.lowly, unit.bottom)):
            assert exemplar == tuple(
                CaptionedExemplar(e.clip, CAPTIONS[Span(e.clip)], e.activation, e.start, e.end, e.strength)
                for e in exemplars
            )
        assert gathered.highly is None
        assert gathered.lowly is None


@pytest.mark.parametrize("frame", [-1, 0, 1, 2, 7, 60])
@pytest.mark.parametrize(
    "lie",
    [
        {"kind": "regular", "special_tokens": 2, "hop": 0.02, "span": 0.05},
        {"kind": "regular", "special_tokens": 0, "hop": 0.02, "span": 0.05},
        {"kind": "clip", "special_tokens": 0},
        {"kind": "unknown", "special_tokens": 1},
    ],
    ids=["special tokens", "none", "a whole clip", "nothing is known"],
)
def test_the_moment_of_evidence_is_the_exemplars_wherever_the_frame_lies(
    dissection: Dissection, lie: dict[str, Any], frame: int
) -> None:
    """On no one frame, on a special token, within the clip, and beyond its end."""
    sites = tuple(replace(site, frames=lie) for site in dissection.manifest.sites)
    write_json(dissection.folder / "manifest.json", replace(dissection.manifest, sites=sites).to_json())
    changed = change(dissection, "first", top_frames=torch.full((2, SITES["first"]), frame, dtype=torch.int32))
    exemplars = changed.unit("first", 1).top
    (gathered,) = gather(changed, [("first", 1)], CAPTIONS, k=2)
    moments = [(exemplar.start, exemplar.end) for exemplar in gathered.evidence.highly]
    assert moments == [(exemplar.start, exemplar.end) for exemplar in exemplars]
    assert len(moments) == 2


def test_evidence_comes_in_the_order_of_the_units_asked_for(dissection: Dissection) -> None:
    chosen = [("second", 2), ("first", 3), ("first", 0), ("second", 0)]
    assert [(one.evidence.site, one.evidence.unit) for one in gather(dissection, chosen, CAPTIONS)] == chosen


def test_evidence_of_excerpts_has_the_captions_of_the_excerpts(dissection: Dissection) -> None:
    captions = {Span(0): "all of it", Span(0, 0.0, 0.5): "the beginning", Span(1, 0.0, 0.5): "of another"}
    (one,) = gather(dissection, [("first", 0)], captions, k=2, excerpt=0.5)
    assert [exemplar.caption for exemplar in one.evidence.highly] == ["the beginning", "of another"]


def test_every_unit_has_its_own_row(dissection: Dissection) -> None:
    rows = run(dissection, Reader(), k=2)
    assert sorted(rows) == sorted(ALL)
    assert rows["first", 2] == SummaryRow(
        site="first",
        unit=2,
        highly="caption 2, caption 3",
        lowly="caption 5, caption 4",
        failure=None,
        highly_clips=[2, 3],
        lowly_clips=[5, 4],
        contrast_clips=[],
        requests=["first-2"],
        corpus=None,
    )
    assert by_unit(read_table(dissection, "summaries")) == rows


def test_k_clips_are_read(dissection: Dissection) -> None:
    assert run(dissection, Reader(), k=1)["first", 2].highly == "caption 2"


def test_units_can_be_chosen_and_added_later(dissection: Dissection) -> None:
    reader = Reader()
    assert list(run(dissection, reader, sites="first", units=[1])) == [("first", 1)]
    assert len(run(dissection, reader)) == len(ALL)
    assert sorted(reader.asked) == sorted(ALL)
    run(dissection, reader)
    assert len(reader.asked) == len(ALL)


def test_other_settings_make_another_table_and_the_first_comes_back(dissection: Dissection) -> None:
    reader = Reader()
    first = run(dissection, reader, k=1)
    assert run(dissection, reader, k=2) != first
    assert run(dissection, reader, k=1) == first
    assert len(reader.asked) == 2 * len(ALL)
    assert table_settings(dissection, "summaries")["summarizer"] == "reader"
    assert table_settings(dissection, "summaries")["captions"] == {"captioner": "test"}


def test_a_unit_whose_top_clips_are_tied_is_not_summarized(dissection: Dissection) -> None:
    values = torch.tensor([[2.0, 2.0, 3.0, -0.0], [1.0, 2.0, 3.0, -0.0]])
    dissection = change(dissection, "first", top_values=values, bottom_values=values.flip(1))
    reader = Reader()
    rows = run(dissection, reader, sites="first")
    assert [rows["first", unit].highly is None for unit in range(4)] == [False, True, True, True]
    assert [rows["first", unit].lowly is None for unit in range(4)] == [True, True, True, True]
    assert "highly: no clip is decided: 2 clips share the value 3" in rows["first", 2].failure
    assert "highly: no clip is decided: 2 clips share the value 0" in rows["first", 3].failure
    assert reader.asked == [("first", 0)]
    assert [any(one.telling for one in dissection.unit("first", unit).top) for unit in range(4)] == [True] + 3 * [False]


def test_a_tie_among_the_k_that_are_read_is_none_if_others_differ(dissection: Dissection) -> None:
    assert run(dissection, Reader(), k=1)["first", 0].failure is None


def test_units_without_clips_or_captions_are_failures(dissection: Dissection) -> None:
    nobody = torch.full((2, 4), -1)
    dissection = change(dissection, "first", top_clips=nobody)
    with_captions(dissection, {Span(clip): "a caption" if clip > 1 else None for clip in range(CLIPS)})
    rows = run(dissection, Reader(), k=2)
    assert rows["first", 0].failure == (
        "highly: there are no clips; lowly: not summarized, as the highly clips cannot be"
    )
    assert rows["second", 0].failure.startswith("highly: none of the 2 clips has a caption")
    assert rows["second", 0].highly_clips == []


def test_a_caption_that_comes_later_is_read(dissection: Dissection) -> None:
    with_captions(dissection, {Span(1): None})
    assert run(dissection, Reader(), k=2)["first", 0].highly == "caption 0"
    with_captions(dissection, {Span(1): "caption one"})
    assert run(dissection, Reader(), k=2)["first", 0].highly == "caption 0, caption one"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Failure("cannot say"), "highly: cannot say; lowly: cannot say"),
        (None, "highly: the summarizer answered with NoneType, not a Summary"),
        ("a text", "highly: the summarizer answered with str, not a Summary"),
        (Summary("", " "), "highly: the summary is empty; lowly: the summary is empty"),
        (Summary(Failure("too loud"), "low"), "highly: too loud"),
        (Summary("loud " * 2_000, "low"), "highly: the summary is a flood of 10,000 characters"),
    ],
)
def test_nonsense_is_the_failure_of_its_own_unit(dissection: Dissection, answer: Any, reason: str) -> None:
    class Sometimes(Reader):
        def answer(self, unit: Evidence) -> Any:
            return answer if (unit.site, unit.unit) == ("first", 2) else super().answer(unit)

    rows = run(dissection, Sometimes())
    assert rows["first", 2].failure.startswith(reason)
    assert rows["first", 2].highly is None
    assert [unit for unit, row in rows.items() if row.failure] == [("first", 2)]


def test_a_summarizer_that_raises_in_the_middle_costs_one_unit(dissection: Dissection) -> None:
    class Raises(Reader):
        def answer(self, unit: Evidence) -> Any:
            if (unit.site, unit.unit) == ("first", 2):
                raise RuntimeError("no more")
            return super().answer(unit)

    rows = run(dissection, Raises())
    assert rows["first", 2].failure == "highly: it raised RuntimeError: no more; lowly: it raised RuntimeError: no more"
    assert [unit for unit, row in rows.items() if row.failure] == [("first", 2)]
    assert all(row.requests == [f"{site}-{unit}"] for (site, unit), row in rows.items() if not row.failure)


def test_failures_are_tried_again(dissection: Dissection) -> None:
    class Silent(Reader):
        def summarize(self, evidence: Sequence[Evidence]) -> Any:
            return []

    failed = run(dissection, Silent())
    assert all(row.failure.startswith("highly: 0 answers came for 7") for row in failed.values())

    class Better(Reader):
        __qualname__ = "Silent"

    assert all(row.failure is None for row in run(dissection, Better()).values())


def test_an_interruption_loses_nothing_that_was_summarized(dissection: Dissection) -> None:
    class Interrupted(Reader):
        def answer(self, unit: Evidence) -> Any:
            if len(self.asked) == 4:
                raise KeyboardInterrupt
            return super().answer(unit)

    with pytest.raises(KeyboardInterrupt):
        run(dissection, Interrupted())
    assert len(read_table(dissection, "summaries")) == 3
    reader = Reader()
    assert len(run(dissection, reader)) == len(ALL)
    assert len(reader.asked) == len(ALL) - 3


def test_a_chat_model_is_asked_once_for_the_same_captions(dissection: Dissection) -> None:
    chat = Echo()
    rows = run(dissection, "llm:plain", chat=chat, k=2)
    assert len(chat.asked) == 4 + 1 + 1  # four tops of the first site, which holds the second's; two bottoms
    assert rows["first", 0].requests[0] == rows["second", 2].requests[0]
    requests = {row.id: row for row in read_table(dissection, "requests")}
    assert set(requests) == {key for row in rows.values() for key in row.requests}
    assert "caption 3" in requests[rows["first", 2].requests[0]].messages
    assert requests[rows["first", 2].requests[0]].answer == rows["first", 2].highly
    settings = table_settings(dissection, "summaries")
    assert (settings["summarizer"], settings["chat"], settings["options"]["max_tokens"]) == ("llm:plain", "echo", 256)
    run(dissection, "llm:plain", chat=chat, k=1)
    run(dissection, "llm:plain", chat=chat, k=2)
    assert len(chat.asked) == 6 + 4 + 2


def test_an_answer_that_is_none_is_recorded_and_the_rest_goes_on(dissection: Dissection) -> None:
    def moody(text: str) -> Any:
        return "I'm sorry, I can't help with that." if '"caption 2"' in text else "They sound alike."

    rows = run(dissection, chat=Echo(moody), k=1)
    assert "the model refused: I'm sorry" in rows["first", 2].failure
    assert rows["first", 2].highly is None
    assert rows["first", 2].lowly == "They sound alike."
    assert rows["first", 1].failure is None


def test_without_a_chat_model_words_are_counted(dissection: Dissection) -> None:
    run(dissection, units=[0])
    assert table_settings(dissection, "summaries")["summarizer"] == "keywords"
    assert not has_table(dissection, "requests")


def test_what_is_asked_for_wrongly_is_said(dissection: Dissection, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="unknown summarizer 'nobody'"):
        run(dissection, "nobody")
    with pytest.raises(PluginError, match="summarizer 'llm' needs a chat"):
        run(dissection, "llm")
    with pytest.raises(DissectionError, match="no dissected site matches"):
        run(dissection, Reader(), sites="third")
    with pytest.raises(ValueError, match="k must be at least 1"):
        run(dissection, Reader(), k=0)
    with pytest.raises(DissectionError, match="has no captions yet"):
        run(small_dissection(tmp_path / "other"), Reader())


def test_every_unit_is_gathered_once(dissection: Dissection) -> None:
    assert [
        (one.evidence.site, one.evidence.unit) for one in gather(dissection, chosen_units(dissection), CAPTIONS)
    ] == ALL


def test_words_are_counted_anew_when_there_are_more_captions_to_hold_them_against(dissection: Dissection) -> None:
    made = [row.corpus for row in summarize(dissection, "keywords", progress=False)]
    assert len(set(made)) == 1 and made[0] is not None
    with_captions(dissection, {**CAPTIONS, Span(0, 0.0, 0.5): "another caption"})
    again = {row.corpus for row in summarize(dissection, "keywords", sites="first", units=[0], progress=False)}
    assert len(again) == 2
    every = {row.corpus for row in summarize(dissection, "keywords", progress=False)}
    assert len(every) == 1 and every.isdisjoint(made)
