"""Are planted units named rightly, and are units that mean nothing left unnamed, or marked? Ground truth.

The model is `planted_model`: units of known meaning and distractors (chance, loudness, dead, constant). It is dissected
over synthetic sounds, at its units before and after their rectifier, and explained; everything that is said is held
against what was planted. Other sounds, made with another seed, score it.

    python -m benchmarks.planted [--seeds 0 1 2] [--per-class 12] [--held-out-per-class 24]
                                 [--sentence-transformers REPO] [--chat PLUGIN:MODEL]

Of each unit's 96 stored exemplars 32 are looked at, spread over them (`explain(spread=True)`): the highest clips of a
unit that fires for noise or high tones are all high tones. `--chat` has the summarizer `llm` speak as well.

What "rightly" means:

dissect      four of a unit's five highest clips are of the kinds that it is for
words        a summary, calibrated summary or list of open concepts has one of the unit's words, and none of the words
             that are wrong of it (`Planted.words`, `Planted.wrong`), whole words in any form
strict       as words, and more: an explanation has a word of each half of a disjunction, and it is not, as a whole, the
             explanation of a unit of another meaning too
label        the first label is one of the kinds of sound that the unit is for
truth        streamed over all clips with the truth itself as concepts, the unit's own concept comes first (of units
             with one and the same concept, either)
score        what is said rightly predicts its unit's held-out clips, and holds: it does so more than loudness,
             duration, silence and brightness do. Held to that are units that are not themselves loudness or
             brightness: those of which even the planted truth, told of every clip, tells more than these do (see
             `planted_truth`), and not the silence unit, which is loudness by another name and must not be said to hold.
             A row of its own has only the units whose clips no null alone detects as well as what is said does (AUPRC)
A distractor is treated honestly if nothing is said of it, or what is said is marked as not holding.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from and_nnsight import Dissection, dissect
from and_nnsight.demo import Sound, make_sounds
from and_nnsight.explain import caption, explain, label, score, score_concepts
from and_nnsight.explain.evaluate.baselines import NULLS
from and_nnsight.explain.evaluate.scoring import SHUFFLES
from and_nnsight.explain.evaluate.verdicts import verdict
from and_nnsight.explain.records.claim_rows import LabelRow, ScoreRow
from and_nnsight.explain.records.description_rows import ConceptRow
from and_nnsight.explain.text.english import stem
from and_nnsight.explain.text.sentences import idea, telling_sentences
from and_nnsight.statistics.concept_scores import ConceptScores
from benchmarks._report import write_report
from benchmarks.planted_model import MEANINGS, Planted, PlantedModel
from benchmarks.planted_truth import more_than_acoustics

SITES = ("blocks.*.mlp.hook_pre", "blocks.*.mlp.hook_post")
CAPTIONERS = ("column:caption", "acoustic")
SIMILARITIES = ("cos_cubed", "cos", "wpmi", "soft_wpmi", "rank_reorder")
TRUTH_SIMILARITIES = ("pearson", "auprc", "cos_cubed", "cos")
TARGETS = {"planted_units_dissected": 1.0, "distractors_honest": 0.9, "the_true_hold": 0.9}
MORE = "truth: more than loudness and brightness"
HELD_OUT_SEED = 10_000
_K = 96
EXEMPLARS = 32
"""Of a unit, spread over its K."""
_TOP, _OF_TOP = 5, 4
_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")

At = tuple[str, int]
Row = dict[str, Any]


def measure(
    seed: int, per_class: int, held_out_per_class: int, folder: Path, encoders: Sequence[str] = ("words",),
    chat: str | None = None, shuffles: int = SHUFFLES,
) -> Row:  # fmt: skip
    """Everything about one seed of the sounds and of the order of the units."""
    model = PlantedModel(seed)
    sounds = list(make_sounds(per_class, seed))
    others = list(make_sounds(held_out_per_class, seed + HELD_OUT_SEED))
    options: dict[str, Any] = {"sites": SITES, "k": _K, "progress": False, "batch_size": 16}
    dissection = dissect(model, sounds, out=folder / "run", concepts=truth_of(sounds), **options)
    held_out = dissect(model, others, out=folder / "held-out", keep_activations=True, **options)
    units = {(site, index): unit for site in dissection.sites
             for index, unit in enumerate(model.units[int(site.split(".")[1])])}  # fmt: skip
    planted = {at: unit for at, unit in units.items() if unit.classes}
    rows = [_dissected(dissection, planted), *_compared_with_truth(dissection, planted)]
    more = more_than_acoustics(dissection, held_out, planted, sounds, others)
    rows.append(_share(MORE, {at: at in more for at in planted}, planted))
    for captioner in CAPTIONERS:
        caption(held_out, captioner, data=others, every_clip=True, progress=False)
        for encoder in encoders:
            rows += _explained(dissection, held_out, units, more, sounds, others, captioner, encoder, shuffles)
        if chat is not None:
            rows += _chatted(dissection, units, sounds, captioner, chat)
    counts = {"units": len(planted), "distractors": len(units) - len(planted)}
    return {"seed": seed, "clips": len(sounds), "held_out": len(others), **counts, "rows": rows}


def truth_of(sounds: Sequence[Sound]) -> ConceptScores:
    """1 where a sound is of a kind that a planted unit is for: a concept a distinct set of kinds."""
    names = dict.fromkeys(concept_of(unit) for unit in MEANINGS)
    classes = {concept_of(unit): unit.classes for unit in MEANINGS}
    values = torch.tensor([[float(sound.label in classes[name]) for name in names] for sound in sounds])
    return ConceptScores(tuple(names), torch.arange(len(sounds)), values, "truth")


def concept_of(unit: Planted) -> str:
    """The name of what a unit is for: that of the first unit with the same kinds of sound."""
    return next(other.name for other in MEANINGS if other.classes == unit.classes)


def _share(step: str, right: Mapping[At, bool], units: Mapping[At, Planted], **more: str) -> Row:
    """A row: the share of units that came out right, and which did not."""
    wrong = [f"{units[at].name}, {at[0].split('hook_')[1]}" for at, is_right in right.items() if not is_right]
    return {"step": step, "captioner": "", "encoder": "", **more,
            "right": round(sum(right.values()) / max(1, len(right)), 4), "of": len(right), "wrong": wrong}  # fmt: skip


def _dissected(dissection: Dissection, planted: Mapping[At, Planted]) -> Row:
    right = {}
    for at, unit in planted.items():
        top = dissection.unit(*at).top[:_TOP]
        right[at] = sum(exemplar.label in unit.classes for exemplar in top) >= _OF_TOP
    return _share("dissect: top clips", right, planted)


def _compared_with_truth(dissection: Dissection, planted: Mapping[At, Planted]) -> Iterable[Row]:
    assert dissection.concepts is not None
    for similarity in TRUTH_SIMILARITIES:
        first = _first_labels(label(dissection, dissection.concepts, similarity=similarity, top=1, progress=False))
        right = {at: first.get(at) == concept_of(unit) for at, unit in planted.items()}
        yield _share(f"truth, streamed: {similarity}", right, planted)


def _explained(
    dissection: Dissection,
    held_out: Dissection,
    units: Mapping[At, Planted],
    more: set[At],
    sounds: Sequence[Sound],
    others: Sequence[Sound],
    captioner: str,
    encoder: str,
    shuffles: int,
) -> list[Row]:
    """Caption, summarize, calibrate, draw concepts, label, score; with one captioner and text encoder."""
    planted = {at: unit for at, unit in units.items() if unit.classes}
    distractors = {at: unit for at, unit in units.items() if not unit.classes}
    with_plugins = {"captioner": captioner, "encoder": encoder.partition(":")[0]}
    tables = explain(
        dissection, captioner=captioner, text_encoder=encoder, data=list(sounds), every_clip=True, k=EXEMPLARS,
        spread=True, progress=False,
    )  # fmt: skip
    rows: list[Row] = []

    def tell(step: str, is_right: Callable[[At], bool], whose: Mapping[At, Planted]) -> None:
        rows.append(_share(step, {at: is_right(at) for at in whose}, whose, **with_plugins))

    texts = {
        name: _texts(tables[name], column) for name, column in (("summaries", "highly"), ("calibrated", "calibrated"))
    }
    texts["concepts"] = _words(tables["concepts"])
    for name, said in texts.items():
        tell(f"words: {name}", lambda at, said=said: says_rightly(units[at], said.get(at)), planted)
    for name in ("summaries", "calibrated"):
        strict = says_strictly(planted, texts[name])
        tell(f"strict: {name}", lambda at, strict=strict: at in strict, planted)
    fits = score_concepts(dissection, _kinds(sounds), text_encoder=encoder, progress=False)
    for similarity in SIMILARITIES:
        first = _first_labels(label(dissection, fits, similarity=similarity, progress=False))
        tell(f"label: db, {similarity}", lambda at, first=first: first.get(at) in units[at].classes, planted)
    scores = score(
        dissection, held_out, text_encoder=encoder, sources=("explanation", "concepts", "label"), data=list(sounds),
        held_out_data=list(others), shuffles=shuffles, progress=False,
    )  # fmt: skip
    verdicts = {(row.site, row.unit, row.source): verdict(row) for row in scores}
    holds = {key: known.holds for key, known in verdicts.items()}
    named = {at for at in planted if says_rightly(units[at], texts["calibrated"].get(at))}
    tell("score: the true predict their clips", lambda at: verdicts[(*at, "explanation")].predicts,
         {at: planted[at] for at in named})  # fmt: skip
    must = {at for at in named & more if units[at].null is None}
    tell("score: the true hold", lambda at: holds[(*at, "explanation")], {at: planted[at] for at in must})
    tell("score: what is loudness by another name does not hold", lambda at: not holds[(*at, "explanation")],
         {at: planted[at] for at in named if units[at].null is not None})  # fmt: skip
    by_unit = {(row.site, row.unit): row for row in scores if row.source == "explanation"}
    tell("score: the true hold, where no null does as well", lambda at: holds[(*at, "explanation")],
         {at: planted[at] for at in must if _beats_nulls(by_unit[at])})  # fmt: skip
    tell("distractors: unexplained or marked", lambda at: not holds.get((*at, "explanation"), False), distractors)
    for source in sorted(
        {source for _, _, source in holds if source.startswith("label db") and source.endswith(encoder)}
    ):
        kind = " ".join(source.split()[1:3])
        tell(
            f"distractors: unlabelled or marked ({kind})",
            lambda at, s=source: not holds.get((*at, s), False),
            distractors,
        )
    return rows


def _beats_nulls(row: ScoreRow) -> bool:
    """Whether no null alone detects the unit's clips as well as what is said of it does."""
    return row.auprc is not None and row.auprc > max(getattr(row, f"{null}_auprc") for null in NULLS)


def says_rightly(unit: Planted, said: str | None) -> bool:
    """Whether a text has one of the unit's words, and none that are wrong of it."""
    words = _stems(_WORD.findall((said or "").casefold()))
    return bool(words & _stems(unit.words)) and not words & _stems(unit.wrong)


def says_strictly(units: Mapping[At, Planted], said: Mapping[At, str | None]) -> set[At]:
    """The units whose texts have all of their meaning, nothing wrong, and are not said of another meaning as well.

    A unit for noise at some moment and one for noise throughout have one meaning.
    """
    whole = {at: frozenset(map(idea, telling_sentences(said.get(at) or ""))) for at in units}
    meanings: dict[frozenset[str], set[str]] = {}
    for at, unit in units.items():
        meanings.setdefault(whole[at], set()).add(unit.name.removesuffix(" throughout"))
    return {
        at
        for at, unit in units.items()
        if says_rightly(unit, text := said.get(at))
        and all(_stems(_WORD.findall((text or "").casefold())) & _stems(half) for half in unit.halves)
        and len(meanings[whole[at]]) == 1
    }


def _chatted(
    dissection: Dissection, units: Mapping[At, Planted], sounds: Sequence[Sound], captioner: str, chat: str
) -> Iterable[Row]:
    """The same of what a chat model says; the words of the other rows are then made anew."""
    planted = {at: unit for at, unit in units.items() if unit.classes}
    tables = explain(
        dissection, captioner=captioner, chat=chat, data=list(sounds), every_clip=True, k=EXEMPLARS, spread=True,
        steps=("captions", "summaries", "calibrated"), progress=False,
    )  # fmt: skip
    for name, column in (("summaries", "highly"), ("calibrated", "calibrated")):
        said = _texts(tables[name], column)
        strict = says_strictly(planted, said)
        more = {"captioner": captioner, "encoder": chat.partition(":")[0]}
        right = {at: says_rightly(unit, said.get(at)) for at, unit in planted.items()}
        yield _share(f"chat, words: {name}", right, planted, **more)
        yield _share(f"chat, strict: {name}", {at: at in strict for at in planted}, planted, **more)


def _stems(words: Iterable[str]) -> set[str]:
    """Open concepts come in their base form."""
    return {stem(word) for word in words}


def _texts(rows: Iterable[Any], column: str) -> dict[At, str | None]:
    return {(row.site, row.unit): getattr(row, column) for row in rows}


def _words(rows: Iterable[ConceptRow]) -> dict[At, str | None]:
    said: dict[At, str | None] = {}
    for row in rows:
        at = row.site, row.unit
        said[at] = f"{said.get(at) or ''} {row.word}"
    return said


def _kinds(sounds: Iterable[Sound]) -> list[str]:
    return sorted({sound.label for sound in sounds})


def _first_labels(rows: Iterable[LabelRow]) -> dict[At, str | None]:
    return {(row.site, row.unit): row.concept for row in rows if row.rank == 0}


def summary(runs: Sequence[Row]) -> list[Row]:
    """Each step over all runs: the mean share that came out right, the lowest, and how often each unit did not."""
    grouped: dict[tuple[str, str, str], list[Row]] = {}
    for run in runs:
        for row in run["rows"]:
            grouped.setdefault((row["step"], row["captioner"], row["encoder"]), []).append(row)
    steps = []
    for (step, captioner, encoder), rows in grouped.items():
        missed: dict[str, int] = {}
        for name in (name for row in rows for name in row["wrong"]):
            missed[name] = missed.get(name, 0) + 1
        total = sum(row["of"] for row in rows)
        right = total - sum(missed.values())
        steps.append({
            "step": step, "captioner": captioner, "encoder": encoder, "right": round(right / max(1, total), 4),
            "of": total, "lowest": min(row["right"] for row in rows),
            "wrong": dict(sorted(missed.items(), key=lambda item: (-item[1], item[0]))),
        })  # fmt: skip
    return steps


def print_summary(rows: Sequence[Row], runs: int) -> None:
    """The summary as a table."""
    table = Table("step", "captions", "encoder", "right", "lowest", "of", "not right", title=f"{runs} seeds")
    for row in rows:
        missed = ", ".join(f"{name} ({count})" for name, count in list(row["wrong"].items())[:4])
        table.add_row(
            row["step"], row["captioner"], row["encoder"], f"{row['right']:.0%}", f"{row['lowest']:.0%}",
            str(row["of"]), missed,
        )  # fmt: skip
    Console(width=140).print(table)


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planted", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of sounds and of the units' order")
    parser.add_argument("--per-class", type=int, default=12, help="clips of each kind that are explained")
    parser.add_argument("--held-out-per-class", type=int, default=24, help="clips of each kind that judge")
    parser.add_argument("--sentence-transformers", help="another text encoder: hub id or folder")
    parser.add_argument("--chat", help="a chat model, for the summarizer llm: PLUGIN:MODEL")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    encoders = ["words"]
    if options.sentence_transformers:
        encoders.append(f"sentence-transformers:{options.sentence_transformers}")
    runs = []
    for seed in options.seeds:
        with TemporaryDirectory() as folder:
            sizes = options.per_class, options.held_out_per_class
            runs.append(measure(seed, *sizes, Path(folder), encoders, options.chat))
    rows = summary(runs)
    print_summary(rows, len(runs))
    if not options.no_write:
        asked = {"per_class": options.per_class, "held_out_per_class": options.held_out_per_class}
        numbers = {**asked, "seeds": options.seeds, "summary": rows, "runs": runs}
        print(write_report("planted", torch.device("cpu"), numbers, TARGETS))


if __name__ == "__main__":
    main()
