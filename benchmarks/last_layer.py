"""Do the methods find the true class of every class logit? The paper's Table 2, on models whose classes are known.

Unit i of `unembed.hook_out` is the logit of class i, so its true concept is the name of class i. DB compares logits
with captions, TAB with the sounds themselves (`--clap`), ICL reads summaries (`--chat`); all choose among the classes.
The rows of `labels`, the clips' true classes in place of captions, say what the model itself has not told apart.

    python -m benchmarks.last_layer [--sounds DIR --model DIR] [--sentence-transformers REPO] [--clap ...] [--chat ...]

Without `--model`, only the embedded AST over the synthetic sounds is measured. `--model` is a folder that
`benchmarks.train_ast` has made of the folder of `--sounds`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from rich.console import Console
from rich.table import Table
from torch import Tensor

from and_nnsight import Dissection, dissect, explain, plugins
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.demo.train import HELD_OUT_SEED_OFFSET
from and_nnsight.explain import ChatModel, TextEncoder, score_concepts
from and_nnsight.explain.labels.concept_lists import concept_text
from and_nnsight.explain.labels.concept_scores import DEFAULT_SOFTMAX
from and_nnsight.explain.labels.similarities import PUBLISHED
from benchmarks._report import write_report
from benchmarks.train_ast import RECORD

SITE = "unembed.hook_out"
WORDS = "words"
SOFTMAXES: tuple[float | None, ...] = (None, 10.0, DEFAULT_SOFTMAX, 100.0)
"""Scales of the softmax over concepts that DB is measured with; None: the cosine itself."""
TARGETS = {"top1_of_db_with_cos_cubed": 1.0}

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Subject:
    """A model's dissected class logits. `held_out` says which clips the model has not been trained on."""

    name: str
    dissection: Dissection
    classes: tuple[str, ...]
    held_out: Bool[Tensor, " clip"]
    data: Any
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def logits(self) -> Float[Tensor, "clip unit"]:
        """The class logits of every clip, in the order of the clips."""
        kept = self.dissection.activations(SITE)
        assert kept is not None  # dissected with keep_activations
        return torch.from_numpy(np.array(kept))

    def accuracy(self) -> float:
        """Share of the held-out clips whose likeliest class is their own."""
        labels = torch.tensor([self.classes.index(row.label or "") for _, row in sorted(self.dissection.clips.items())])
        return float((self.logits.argmax(1) == labels)[self.held_out].float().mean())


def embedded_subject(out: Path, per_class: int = 20) -> Subject:
    """The embedded tiny AST over synthetic sounds that it was not trained on."""
    sounds = list(make_sounds(per_class, HELD_OUT_SEED_OFFSET))
    return _dissected("embedded AST, synthetic sounds", str(tiny_ast_path()), sounds, out, None, {})


def trained_subject(model: Path, sounds: Path, out: Path) -> Subject:
    """A model of `benchmarks.train_ast` over all the sounds; raises ValueError where the folder is none of its."""
    if not (model / RECORD).exists():
        raise ValueError(f"{model} has no {RECORD}: train it with python -m benchmarks.train_ast")
    record = json.loads((model / RECORD).read_text(encoding="utf-8"))
    held_out = set(record.pop("held_out_clips"))
    return _dissected("trained AST, recorded sounds", str(model), sounds, out, held_out, record)


def _dissected(
    name: str, model: str, data: Any, out: Path, held_out: set[str] | None, about: Mapping[str, Any]
) -> Subject:
    dissection = dissect(model, data, SITE, out=out, keep_activations=True, batch_size=16, progress=False)
    config = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))
    classes = tuple(config["id2label"][str(number)] for number in range(len(config["id2label"])))
    rows = [row for _, row in sorted(dissection.clips.items())]
    apart = torch.tensor([held_out is None or _in_folder(row.path or "", data) in held_out for row in rows])
    if held_out is not None and int(apart.sum()) != len(held_out):
        raise ValueError(f"{model} was not trained on these sounds: {len(held_out)} clips held out, {apart.sum()} here")
    return Subject(name, dissection, classes, apart, data, about)


def _in_folder(path: str, folder: Path) -> str:
    return (Path(folder) / path).resolve().relative_to(Path(folder).resolve()).as_posix()


def scored(similarity: Float[Tensor, "unit concept"], judge: Float[np.ndarray, "concept dim"]) -> dict[str, float]:
    """Top-1, top-5 and the mean cosine between the embedded names of the first concept and of the true class.

    Concepts that are minus infinity or NaN are not chosen; a unit with no other is a miss, and its cosine 0.
    """
    similarity = torch.where(similarity.isnan(), -torch.inf, similarity)
    order = similarity.argsort(dim=1, descending=True, stable=True)
    chosen = similarity.gather(1, order) > -torch.inf
    hits = (order == torch.arange(len(similarity))[:, None]) & chosen
    cosine = np.sum(judge[order[:, 0].numpy()] * judge, axis=1) * chosen[:, 0].numpy()
    return {
        "top1": round(float(hits[:, 0].float().mean()), 4),
        "top5": round(float(hits[:, :5].any(1).float().mean()), 4),
        "cosine": round(float(cosine.mean()), 4),
    }


def missed(similarity: Float[Tensor, "unit concept"], classes: Sequence[str]) -> dict[str, str]:
    """The classes that are not found, and what is found instead."""
    first: list[int] = torch.where(similarity.isnan(), -torch.inf, similarity).argmax(1).tolist()
    return {classes[unit]: classes[best] for unit, best in enumerate(first) if unit != best}


def rows_of_scores(
    subject: Subject,
    scores: Float[Tensor, "clip concept"],
    judge: Float[np.ndarray, "unit dim"],
    described: Mapping[str, Any],
) -> list[Row]:
    """A row for each of the five similarities, over all clips and, if there are others, over the held-out clips."""
    rows = []
    choices = {"all": torch.ones_like(subject.held_out)}
    if not bool(subject.held_out.all()):
        choices["held out"] = subject.held_out
    for clips, chosen in choices.items():
        for name, similar in PUBLISHED.items():
            similarity = similar(subject.logits[chosen], scores[chosen])
            shares = scored(similarity, judge)
            rows.append({**described, "similarity": name, "clips": clips, **shares})
            if name == "cos_cubed":
                rows[-1]["missed"] = missed(similarity, subject.classes)
    return rows


def in_context_row(subject: Subject, chat: ChatModel, judge: Float[np.ndarray, "unit dim"]) -> Row:
    """ICL: the chat model summarizes the captions of a logit's highest clips, and chooses classes by the summary.

    A logit without an answer is a miss, with a cosine of 0.
    """
    explain.caption(subject.dissection, progress=False)
    explain.summarize(subject.dissection, chat=chat, progress=False)
    places = {name: place for place, name in enumerate(subject.classes)}
    ranked = torch.full((len(subject.classes), len(subject.classes)), -torch.inf)
    for row in explain.label(subject.dissection, subject.classes, method="icl", chat=chat, top=5, progress=False):
        if row.concept is not None:
            ranked[row.unit, places[row.concept]] = -float(row.rank)
    described = {"method": "ICL", "encoder": chat.name, "softmax": None, "similarity": "chosen", "clips": "top"}
    return {**described, **scored(ranked, judge), "unanswered": int((ranked.amax(1) == -torch.inf).sum())}


def measure(
    subject: Subject,
    encoders: Mapping[str, TextEncoder],
    judge: TextEncoder,
    softmaxes: Sequence[float | None] = SOFTMAXES,
    clap: str | None = None,
    chat: ChatModel | None = None,
) -> Row:
    """Everything about one subject."""
    names = np.asarray(judge.encode([concept_text(name) for name in subject.classes]))
    labels = score_concepts(subject.dissection, subject.classes, "labels", progress=False)
    rows = rows_of_scores(subject, labels.values, names, {"method": "labels", "encoder": "", "softmax": None})
    for encoder_name, encoder in encoders.items():
        for softmax in softmaxes:
            scores = score_concepts(
                subject.dissection, subject.classes, "db", text_encoder=encoder, softmax=softmax, progress=False
            )
            described = {"method": "DB", "encoder": encoder_name, "softmax": softmax}
            rows += rows_of_scores(subject, scores.values, names, described)
    if clap is not None:
        scores = score_concepts(
            subject.dissection, subject.classes, "tab", audio_text_encoder=clap, audio=subject.data, progress=False
        )
        rows += rows_of_scores(subject, scores.values, names, {"method": "TAB", "encoder": clap, "softmax": None})
    if chat is not None:
        rows.append(in_context_row(subject, chat, names))
    return {
        "subject": subject.name,
        "classes": len(subject.classes),
        "clips": len(subject.held_out),
        "held_out_clips": int(subject.held_out.sum()),
        "held_out_accuracy": round(subject.accuracy(), 4),
        "training": dict(subject.about),
        "rows": rows,
    }


def print_subject(result: Row) -> None:
    """One subject's rows as a table."""
    table = Table(
        "method", "encoder", "softmax", "clips", "similarity", "top-1", "top-5", "cosine",
        title=f"{result['subject']}: {result['classes']} classes, {result['clips']} clips, "
        f"held-out accuracy {result['held_out_accuracy']:.1%}",
    )  # fmt: skip
    for row in result["rows"]:
        scale = "" if row["softmax"] is None else f"{row['softmax']:g}"
        shares = (f"{row['top1']:.1%}", f"{row['top5']:.1%}", f"{row['cosine']:.3f}")
        table.add_row(row["method"], row["encoder"], scale, row["clips"], row["similarity"], *shares)
    Console(width=120).print(table)


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.last_layer", description=__doc__)
    parser.add_argument("--sounds", type=Path, help="folder of labelled, captioned audio with a metadata.csv")
    parser.add_argument("--model", type=Path, help="folder that benchmarks.train_ast made of these sounds")
    parser.add_argument("--per-class", type=int, default=20, help="synthetic clips a class")
    parser.add_argument("--sentence-transformers", help="another text encoder: hub id or folder")
    parser.add_argument("--clap", help="for TAB: an audio-text encoder, for example clap:laion/clap-htsat-unfused")
    parser.add_argument("--chat", help="for ICL: a chat model, for example transformers:Qwen/Qwen3-8B")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    if (options.model is None) != (options.sounds is None):
        parser.error("--model and --sounds belong together")
    words, _ = plugins.resolve("text encoder", WORDS)
    encoders: dict[str, TextEncoder] = {WORDS: words}
    if options.sentence_transformers:
        chosen = f"sentence-transformers:{options.sentence_transformers}"
        encoders["sentence-transformers"], _ = plugins.resolve("text encoder", chosen)
    judge_name = list(encoders)[-1]
    chat = None if options.chat is None else plugins.resolve("chat model", options.chat)[0]
    with TemporaryDirectory() as folder:
        subjects = [embedded_subject(Path(folder) / "embedded", options.per_class)]
        if options.model is not None:
            subjects.append(trained_subject(options.model, options.sounds, Path(folder) / "trained"))
        results = []
        for subject in subjects:
            results.append(measure(subject, encoders, encoders[judge_name], clap=options.clap, chat=chat))
            print_subject(results[-1])
    if not options.no_write:
        numbers = {"cosine_between_names_by": judge_name, "subjects": results}
        print(write_report("last_layer", torch.device("cpu"), numbers, TARGETS))


if __name__ == "__main__":
    main()
