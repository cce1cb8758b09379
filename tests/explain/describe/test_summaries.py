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


def with_captions(found: Dissection, captions: dict[Span, str | None] | None = None) -> Dissection:
    with Table(found, CaptionRow, {"captioner": "test"}) as table:
        table.add(
            CaptionRow(*span, caption=text, raw=text, failure=None if text else "broken", background=True)
            for span, text in (CAPTIONS if captions is None else captions).items()
        )
    return found


def change(found: Dissection, site: str, **tensors: torch.Tensor) -> Dissection:
    """Other exemplars in a site's file."""
    stored, _ = read_tensors(site_file(found.folder, site))
    write_tensors(site_file(found.folder, site), {**stored, **tensors})
    return Dissection.load(found.folder)


@pytest.fixture
def found(tmp_path: Path) -> Dissection:
    """Unit u of the first site has the clips u and u+1 on top; every unit has 5 and 4 at the bottom."""
    found = small_dissection(tmp_path / "run")
    width = SITES["first"]
    tops = torch.stack([torch.arange(width), torch.arange(width) + 1])
    bottoms = torch.tensor([[5], [4]]).repeat(1, width)
    return with_captions(change(found, "first", top_clips=tops, bottom_clips=bottoms))


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
        sides = (", ".join(heard.caption for heard in side) for side in (unit.highly, unit.lowly))
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


def run(found: Dissection, summarizer: Any = None, **settings: Any) -> dict[tuple[str, int], SummaryRow]:
    return by_unit(summarize(found, summarizer, progress=False, **settings))


def test_evidence_is_what_the_units_exemplars_are(found: Dissection) -> None:
    for gathered in gather(found, ALL, CAPTIONS, k=2):
        unit = found.unit(gathered.evidence.site, gathered.evidence.unit)
        for heard, exemplars in ((gathered.evidence.highly, unit.top), (gathered.evidence.lowly, unit.bottom)):
            assert heard == tuple(
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
    found: Dissection, lie: dict[str, Any], frame: int
) -> None:
    """On no one frame, on a special token, within the clip, and beyond its end."""
    sites = tuple(replace(site, frames=lie) for site in found.manifest.sites)
    write_json(found.folder / "manifest.json", replace(found.manifest, sites=sites).to_json())
    changed = change(found, "first", top_frames=torch.full((2, SITES["first"]), frame, dtype=torch.int32))
    exemplars = changed.unit("first", 1).top
    (gathered,) = gather(changed, [("first", 1)], CAPTIONS, k=2)
    moments = [(heard.start, heard.end) for heard in gathered.evidence.highly]
    assert moments == [(exemplar.start, exemplar.end) for exemplar in exemplars]
    assert len(moments) == 2


def test_evidence_comes_in_the_order_of_the_units_asked_for(found: Dissection) -> None:
    chosen = [("second", 2), ("first", 3), ("first", 0), ("second", 0)]
    assert [(one.evidence.site, one.evidence.unit) for one in gather(found, chosen, CAPTIONS)] == chosen


def test_evidence_of_excerpts_has_the_captions_of_the_excerpts(found: Dissection) -> None:
    captions = {Span(0): "all of it", Span(0, 0.0, 0.5): "the beginning", Span(1, 0.0, 0.5): "of another"}
    (one,) = gather(found, [("first", 0)], captions, k=2, excerpt=0.5)
    assert [heard.caption for heard in one.evidence.highly] == ["the beginning", "of another"]


def test_every_unit_has_its_own_row(found: Dissection) -> None:
    rows = run(found, Reader(), k=2)
    assert sorted(rows) == sorted(ALL)
    assert rows["first", 2].columns() == {
        "site": "first",
        "unit": 2,
        "highly": "caption 2, caption 3",
        "lowly": "caption 5, caption 4",
        "failure": None,
        "highly_clips": [2, 3],
        "lowly_clips": [5, 4],
        "contrast_clips": [],
        "requests": ["first-2"],
        "corpus": None,
    }
    assert by_unit(read_table(found, "summaries")) == rows


def test_k_clips_are_read(found: Dissection) -> None:
    assert run(found, Reader(), k=1)["first", 2].highly == "caption 2"


def test_units_can_be_chosen_and_added_later(found: Dissection) -> None:
    reader = Reader()
    assert list(run(found, reader, sites="first", units=[1])) == [("first", 1)]
    assert len(run(found, reader)) == len(ALL)
    assert sorted(reader.asked) == sorted(ALL)
    run(found, reader)
    assert len(reader.asked) == len(ALL)


def test_other_settings_make_another_table_and_the_first_comes_back(found: Dissection) -> None:
    reader = Reader()
    first = run(found, reader, k=1)
    assert run(found, reader, k=2) != first
    assert run(found, reader, k=1) == first
    assert len(reader.asked) == 2 * len(ALL)
    assert table_settings(found, "summaries")["summarizer"] == "reader"
    assert table_settings(found, "summaries")["captions"] == {"captioner": "test"}


def test_a_unit_whose_top_clips_are_tied_is_not_summarized(found: Dissection) -> None:
    values = torch.tensor([[2.0, 2.0, 3.0, -0.0], [1.0, 2.0, 3.0, -0.0]])
    found = change(found, "first", top_values=values, bottom_values=values.flip(1))
    reader = Reader()
    rows = run(found, reader, sites="first")
    assert [rows["first", unit].highly is None for unit in range(4)] == [False, True, True, True]
    assert [rows["first", unit].lowly is None for unit in range(4)] == [True, True, True, True]
    assert "highly: no clip is decided: 2 clips share the value 3" in rows["first", 2].failure
    assert "highly: no clip is decided: 2 clips share the value 0" in rows["first", 3].failure
    assert reader.asked == [("first", 0)]
    assert [any(one.telling for one in found.unit("first", unit).top) for unit in range(4)] == [True] + 3 * [False]


def test_a_tie_among_the_k_that_are_read_is_none_if_others_differ(found: Dissection) -> None:
    assert run(found, Reader(), k=1)["first", 0].failure is None


def test_units_without_clips_or_captions_are_failures(found: Dissection) -> None:
    nobody = torch.full((2, 4), -1)
    found = change(found, "first", top_clips=nobody)
    with_captions(found, {Span(clip): "a caption" if clip > 1 else None for clip in range(CLIPS)})
    rows = run(found, Reader(), k=2)
    assert rows["first", 0].failure == (
        "highly: there are no clips; lowly: not summarized, as the highly clips cannot be"
    )
    assert rows["second", 0].failure.startswith("highly: none of the 2 clips has a caption")
    assert rows["second", 0].highly_clips == []


def test_a_caption_that_comes_later_is_read(found: Dissection) -> None:
    with_captions(found, {Span(1): None})
    assert run(found, Reader(), k=2)["first", 0].highly == "caption 0"
    with_captions(found, {Span(1): "caption one"})
    assert run(found, Reader(), k=2)["first", 0].highly == "caption 0, caption one"


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
def test_nonsense_is_the_failure_of_its_own_unit(found: Dissection, answer: Any, reason: str) -> None:
    class Sometimes(Reader):
        def answer(self, unit: Evidence) -> Any:
            return answer if (unit.site, unit.unit) == ("first", 2) else super().answer(unit)

    rows = run(found, Sometimes())
    assert rows["first", 2].failure.startswith(reason)
    assert rows["first", 2].highly is None
    assert [unit for unit, row in rows.items() if row.failure] == [("first", 2)]


def test_a_summarizer_that_raises_in_the_middle_costs_one_unit(found: Dissection) -> None:
    class Raises(Reader):
        def answer(self, unit: Evidence) -> Any:
            if (unit.site, unit.unit) == ("first", 2):
                raise RuntimeError("no more")
            return super().answer(unit)

    rows = run(found, Raises())
    assert rows["first", 2].failure == "highly: it raised RuntimeError: no more; lowly: it raised RuntimeError: no more"
    assert [unit for unit, row in rows.items() if row.failure] == [("first", 2)]
    assert all(row.requests == [f"{site}-{unit}"] for (site, unit), row in rows.items() if not row.failure)


def test_failures_are_tried_again(found: Dissection) -> None:
    class Silent(Reader):
        def summarize(self, evidence: Sequence[Evidence]) -> Any:
            return []

    failed = run(found, Silent())
    assert all(row.failure.startswith("highly: 0 answers came for 7") for row in failed.values())

    class Better(Reader):
        __qualname__ = "Silent"

    assert all(row.failure is None for row in run(found, Better()).values())


def test_an_interruption_loses_nothing_that_was_summarized(found: Dissection) -> None:
    class Interrupted(Reader):
        def answer(self, unit: Evidence) -> Any:
            if len(self.asked) == 4:
                raise KeyboardInterrupt
            return super().answer(unit)

    with pytest.raises(KeyboardInterrupt):
        run(found, Interrupted())
    assert len(read_table(found, "summaries")) == 3
    reader = Reader()
    assert len(run(found, reader)) == len(ALL)
    assert len(reader.asked) == len(ALL) - 3


def test_a_chat_model_is_asked_once_for_the_same_captions(found: Dissection) -> None:
    chat = Echo()
    rows = run(found, "llm:plain", chat=chat, k=2)
    assert len(chat.asked) == 4 + 1 + 1  # four tops of the first site, which holds the second's; two bottoms
    assert rows["first", 0].requests[0] == rows["second", 2].requests[0]
    requests = {row.id: row for row in read_table(found, "requests")}
    assert set(requests) == {key for row in rows.values() for key in row.requests}
    assert "caption 3" in requests[rows["first", 2].requests[0]].messages
    assert requests[rows["first", 2].requests[0]].answer == rows["first", 2].highly
    settings = table_settings(found, "summaries")
    assert (settings["summarizer"], settings["chat"], settings["options"]["max_tokens"]) == ("llm:plain", "echo", 256)
    run(found, "llm:plain", chat=chat, k=1)
    run(found, "llm:plain", chat=chat, k=2)
    assert len(chat.asked) == 6 + 4 + 2


def test_an_answer_that_is_none_is_recorded_and_the_rest_goes_on(found: Dissection) -> None:
    def moody(text: str) -> Any:
        return "I'm sorry, I can't help with that." if '"caption 2"' in text else "They sound alike."

    rows = run(found, chat=Echo(moody), k=1)
    assert "the model refused: I'm sorry" in rows["first", 2].failure
    assert rows["first", 2].highly is None
    assert rows["first", 2].lowly == "They sound alike."
    assert rows["first", 1].failure is None


def test_without_a_chat_model_words_are_counted(found: Dissection) -> None:
    run(found, units=[0])
    assert table_settings(found, "summaries")["summarizer"] == "keywords"
    assert not has_table(found, "requests")


def test_what_is_asked_for_wrongly_is_said(found: Dissection, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="unknown summarizer 'nobody'"):
        run(found, "nobody")
    with pytest.raises(PluginError, match="summarizer 'llm' needs a chat"):
        run(found, "llm")
    with pytest.raises(DissectionError, match="no dissected site matches"):
        run(found, Reader(), sites="third")
    with pytest.raises(ValueError, match="k must be at least 1"):
        run(found, Reader(), k=0)
    with pytest.raises(DissectionError, match="has no captions yet"):
        run(small_dissection(tmp_path / "other"), Reader())


def test_every_unit_is_gathered_once(found: Dissection) -> None:
    assert [(one.evidence.site, one.evidence.unit) for one in gather(found, chosen_units(found), CAPTIONS)] == ALL


def test_words_are_counted_anew_when_there_are_more_captions_to_hold_them_against(found: Dissection) -> None:
    made = [row.corpus for row in summarize(found, "keywords", progress=False)]
    assert len(set(made)) == 1 and made[0] is not None
    with_captions(found, {**CAPTIONS, Span(0, 0.0, 0.5): "another caption"})
    again = {row.corpus for row in summarize(found, "keywords", sites="first", units=[0], progress=False)}
    assert len(again) == 2
    every = {row.corpus for row in summarize(found, "keywords", progress=False)}
    assert len(every) == 1 and every.isdisjoint(made)
