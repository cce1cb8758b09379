"""Every command over a folder in any state of damage: one sentence that names the file, and never a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile

from and_nnsight.demo import tiny_ast_path
from tests.cli.commands import run_command

SITE = "blocks.0.mlp.hook_post"
RATE = 16_000
QUIET = ["--quiet", "--device", "cpu"]
SHUFFLED = ["--shuffles", "39", *QUIET]
pytestmark = pytest.mark.slow


class World(NamedTuple):
    """What the commands are about."""

    audio: Path
    run: Path
    held_out: Path
    scores: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A dissection with everything that steps leave behind, of a few clips."""
    place = tmp_path_factory.mktemp("made")
    for name in ("audio", "others"):
        (place / name).mkdir()
        rows = ["file_name,label,caption"]
        for index in range(24):
            noise = np.random.default_rng([index, len(name)]).normal(scale=0.1, size=RATE // 4)
            soundfile.write(place / name / f"{index}.wav", noise, RATE)
            rows.append(f"{index}.wav,{'dog' if index % 2 else 'bell'},A {'dog barks' if index % 2 else 'bell rings'}.")
        (place / name / "metadata.csv").write_text("\n".join(rows))
    world = World(place / "audio", place / "run", place / "held-out", place / "scores.safetensors")
    kept = ["--sites", SITE, "--sites", "unembed.hook_out", "-k", "4", "--keep-activations", *QUIET]
    labels = ["--concepts", "dog,bell", "--method", "labels"]
    for command in (
        ["concept-scores", world.audio, *labels, "--out", world.scores, *QUIET],
        ["dissect", tiny_ast_path(), world.audio, "--out", world.run, "--concepts", world.scores, *kept],
        ["dissect", tiny_ast_path(), place / "others", "--out", world.held_out, *kept],
        ["explain", world.run, *QUIET],
        ["explain", world.held_out, *QUIET],
        ["label", world.run, "--concepts", "labels", "--method", "db", *QUIET],
    ):
        code, said = run(*command)
        assert code == 0, said
    return world


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made and not drawn: what is damaged has no part in it, and it takes longer than all else."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **options: Path(path).touch())


def run(*words: object) -> tuple[int, str]:
    """The exit code, and what was said on standard error."""
    code, _, said = run_command(*words)
    return code, said


Commands = Mapping[str, Callable[[World, Path], list[object]]]
COMMANDS: Commands = {
    "show": lambda world, out: ["show", world.run, SITE, 0],
    "search": lambda world, out: ["search", world.run, "a dog"],
    "explain": lambda world, out: ["explain", world.run, "--units", "0", *QUIET],
    "explain anew": lambda world, out: ["explain", world.run, "--units", "1", "-k", "3", *QUIET],
    "label": lambda world, out: ["label", world.run, "--concepts", "labels", "--method", "db", *QUIET],
    "label by scores": lambda world, out: ["label", world.run, "--scores", world.scores, *QUIET],
    "score": lambda world, out: ["score", world.run, "--held-out", world.held_out, *SHUFFLED],
    "score by it": lambda world, out: ["score", world.held_out, "--held-out", world.run, *SHUFFLED],
    "findings": lambda world, out: ["findings", world.run, "--out", out, "--quiet"],
    "unlearn": lambda world, out: ["unlearn", tiny_ast_path(), world.run, "--concept", "dog", "--export", out],
    "unlearn by labels": lambda world, out: [
        "unlearn", tiny_ast_path(), world.run, "--concept", "dog", "--method", "db", "--export", out,
    ],
    "dissect": lambda world, out: ["dissect", tiny_ast_path(), world.audio, "--out", world.run, *QUIET],
}  # fmt: skip


def content(path: str, what: bytes | None) -> Callable[[Path], None]:
    """A file of the folder with another content; None: cut in half."""

    def damage(folder: Path) -> None:
        for file in folder.glob(path):
            whole = file.read_bytes()
            file.write_bytes(whole[: len(whole) // 2] if what is None else what)

    return damage


def manifest(**changes: Any) -> Callable[[Path], None]:
    """The manifest edited by hand; a value of … takes the key away."""

    def damage(folder: Path) -> None:
        path = folder / "manifest.json"
        said = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({name: value for name, value in said.items() if value is not ...}))

    return damage


def site(**changes: Any) -> Callable[[Path], None]:
    """The first site's entry in the manifest, edited by hand."""

    def damage(folder: Path) -> None:
        path = folder / "manifest.json"
        said = json.loads(path.read_text())
        said["sites"][0] |= changes
        path.write_text(json.dumps(said))

    return damage


def gone(path: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        for each in folder.glob(path):
            shutil.rmtree(each) if each.is_dir() else each.unlink()

    return damage


def a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("not a folder")


def explanations_are_a_file(folder: Path) -> None:
    shutil.rmtree(folder / "explanations")
    (folder / "explanations").write_text("not a folder")


# What no command may overlook, and what only some have to read.
FATAL: Mapping[str, Callable[[Path], None]] = {
    "no folder": shutil.rmtree,
    "a file": a_file,
    "manifest gone": gone("manifest.json"),
    "manifest empty": content("manifest.json", b""),
    "manifest garbage": content("manifest.json", b"\xff\xfe\x00garbage"),
    "manifest cut": content("manifest.json", None),
    "manifest a list": content("manifest.json", b"[1, 2]"),
    "manifest null": content("manifest.json", b"null"),
    "of another version": manifest(format_version=99),
    "state unknown": manifest(state="done"),
    "no state": manifest(state=...),
    "no sites": manifest(sites=[]),
    "sites a word": manifest(sites="all"),
    "sites of words": manifest(sites=["first"]),
    "k a word": manifest(k="many"),
    "clips gone": manifest(clips=...),
    "model a word": manifest(model="ast"),
    "dataset a list": manifest(dataset=[]),
    "width a word": site(width="64"),
    "width negative": site(width=-1),
    "name gone": site(name=None),
    "site twice": site(name="unembed.hook_out"),
    "frames a word": site(frames="all"),
}
PARTIAL: Mapping[str, Callable[[Path], None]] = {
    "not complete": manifest(state="running"),
    "width another": site(width=7),
    "frames of no kind": site(frames={}),
    "frames of another kind": site(frames={"kind": "spiral"}),
    "frames with more": site(frames={"kind": "regular", "what": 1}),
    "sites gone": gone("sites"),
    "sites cut": content("sites/*", None),
    "sites empty": content("sites/*", b""),
    "sites garbage": content("sites/*", b"garbage" * 100),
    "clips gone": gone("clips.parquet"),
    "clips cut": content("clips.parquet", None),
    "clips empty": content("clips.parquet", b""),
    "quarantine garbage": content("quarantine.jsonl", b"{\xff"),
    "quarantine gone": gone("quarantine.jsonl"),
    "concepts gone": gone("concepts"),
    "concepts cut": content("concepts/*", None),
    "activations gone": gone("activations"),
    "activations cut": content("activations/*", None),
    "activations garbage": content("activations/*", b"garbage"),
    "explanations cut": content("explanations/*.parquet", None),
    "explanations empty": content("explanations/*.parquet", b""),
    "explanations a file": explanations_are_a_file,
    "journals garbage": content("explanations/.*.jsonl", b'{"a": 1}\n[]\n\xff'),
}


def copied(made: World, folder: Path, damage: Callable[[Path], None]) -> World:
    world = made._replace(run=folder / "a run")
    shutil.copytree(made.run, world.run)
    damage(world.run)
    return world


def one_sentence(code: int, said: str) -> None:
    lines = [line for line in said.splitlines() if line and not line.startswith("warning:")]
    assert "Traceback" not in said
    assert "did not expect" not in said, said
    assert code == 0 or len(lines) == 1, said
    if code:
        assert code == 2 and lines[0].startswith("error: "), said


@pytest.mark.parametrize("state", FATAL)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_is_no_dissection_is_refused(made: World, tmp_path: Path, command: str, state: str) -> None:
    world = copied(made, tmp_path, FATAL[state])
    code, said = run(*COMMANDS[command](world, tmp_path / "out"))
    one_sentence(code, said)
    if command != "dissect":  # which may begin anew where there is nothing
        assert code == 2
        assert str(world.run) in said


@pytest.mark.parametrize("state", PARTIAL)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_damaged_file_is_named(made: World, tmp_path: Path, command: str, state: str) -> None:
    world = copied(made, tmp_path, PARTIAL[state])
    code, said = run(*COMMANDS[command](world, tmp_path / "out"))
    one_sentence(code, said)
    if code:
        assert str(tmp_path) in said
