"""`--config`: options out of a file, what stands in a folder of what a run used, and what is wrong with a file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from and_nnsight.cli._config import read_config
from and_nnsight.cli._config_file import written
from and_nnsight.demo import tiny_ast_path
from tests.cli.commands import run_command
from tests.oracle import examples


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config") / "sounds"
    folder.mkdir()
    for clip in range(3):
        samples = np.sin(np.arange(16_000) * (0.05 + 0.1 * clip)).astype(np.float32) * 0.3
        soundfile.write(folder / f"{clip}.wav", samples, 16_000)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_repeated_by_its_folder_alone(sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, first, second = tmp_path / "run.toml", tmp_path / "first", tmp_path / "second"
    file.write_text(
        f'[dissect]\nmodel = "{tiny_ast_path()}"\ndata = "sounds"\nsites = ["blocks.0.mlp.hook_post"]\nk = 3\nbatch_size = 2\n'
        'keep-activations = true\n\n[explain]\ncaptioner = "acoustic"\nquiet = true\nk = 2\n',
        encoding="utf-8",
    )
    monkeypatch.chdir(sounds.parent)
    code, _, error = run_command("dissect", "--config", file, "--out", first, "-k", 2, "--quiet")
    assert code == 0, error
    used = tomllib.loads((first / "config.toml").read_text(encoding="utf-8"))["dissect"]
    assert used["k"] == 2 and used["batch-size"] == 2 and used["keep-activations"] is True and used["pool"] == "max"
    assert used["data"] == str(sounds) and not {"out", "quiet", "config", "device"} & used.keys()
    code, _, error = run_command("explain", first, "--config", file)
    assert code == 0, error
    assert list(read_config(first / "config.toml")) == ["dissect", "explain"]

    monkeypatch.chdir(tmp_path)
    before = contents(first)
    assert run_command("dissect", "--config", first, "--quiet")[0] == 0  # it is complete: nothing is done again
    assert run_command("explain", "--config", first, "--quiet")[0] == 0
    assert contents(first) == before
    assert run_command("dissect", "--config", first, "--out", second, "--quiet")[0] == 0
    assert run_command("explain", "--config", first, second, "--quiet")[0] == 0
    again = contents(second)
    assert again.keys() == before.keys()
    differing = {name for name in before if before[name] != again[name]}
    assert differing <= {"manifest.json"}  # by the name of the data, which is whole now


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[dissect]\nbacth-size = 3", "dissect has no option 'bacth-size': did you mean batch-size"),
        ("[dissect]\nout = 3", "out of [dissect] is text in quotes, not 3"),
        ("[dissect]\nk = 'four'", "k of [dissect] is a whole number, not 'four'"),
        ("[dissect]\nk = true", "k of [dissect] is a whole number, not True"),
        ("[dissect]\nkeep-activations = 1", "keep-activations of [dissect] is true or false, not 1"),
        ("[dissect]\nsites = [1]", "sites of [dissect] is text in quotes, or a list of such, not [1]"),
        ("k = 3", "k stands in no table: put it below the name of its command, as [dissect]"),
        ("[disect]\nk = 3", "has no table [dissect]: did you mean disect?"),
        ("[dissect", "is damaged"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "run.toml"
    file.write_text(text, encoding="utf-8")
    code, _, error = run_command("dissect", "m", "d", "--out", tmp_path / "out", "--config", file)
    assert code == 2 and str(file) in error and reason in error
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    code, _, error = run_command("dissect", "--config", tmp_path)
    assert code == 2 and f"{tmp_path / 'config.toml'} is not there" in error


def test_passwords_and_keys_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    secret = "https://me:secret@host/x?token=hf_abc"
    written(path, {"explain": {"chat": "openai:m", "remote": secret, "sites": ["a", secret], "k": 3}})
    text = path.read_text(encoding="utf-8")
    assert "secret" not in text and "hf_abc" not in text and "# remote: not written" in text
    assert read_config(path) == {"explain": {"chat": "openai:m", "k": 3}}


VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters=":@")),
)


@given(st.dictionaries(st.text("abc-_ é.\"'", min_size=1), VALUES | st.lists(VALUES), max_size=5))
@examples
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]) -> None:
    path = tmp_path_factory.mktemp("written") / "config.toml"
    written(path, {"a table": values})
    assert read_config(path) == {"a table": values}
