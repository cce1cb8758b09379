"""`--config`: options out of a file, what stands in a folder of what a run used, and what is wrong with a file."""

from __future__ import annotations

import json
import tomllib
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from and_nnsight.cli._config_file import keep, read_config, written
from and_nnsight.cli._used_options import _repeatable
from and_nnsight.demo import tiny_ast_path
from and_nnsight.storage import locked
from tests.cli.commands import run_command
from tests.explain.activations_dissection import activations_dissection
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


@pytest.mark.slow
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


@pytest.fixture
def dissected(tmp_path: Path) -> Path:
    folder = tmp_path / "dissected"
    values = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    activations_dissection(folder, values, k=8, kept=True, labels=[f"label_{clip % 2}" for clip in range(40)])
    return folder


@pytest.mark.parametrize("trouble", ["damaged", "no lock", "locked"])
def test_options_that_cannot_be_kept_are_a_warning(
    dissected: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr("and_nnsight.cli._config_file._LONGEST_WAIT", 0.1)
    if trouble == "damaged":
        (dissected / "config.toml").write_text("[explain", encoding="utf-8")
    if trouble == "no lock":
        (dissected / ".config.lock").mkdir()
    held = locked(dissected / ".config.lock") if trouble == "locked" else None
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        code, _, error = run_command("label", dissected, "--concepts", "label_0,label_1", "--quiet")
    if held is not None:
        held.close()
    assert code == 0, error
    (said,) = [line for line in error.splitlines() if line.startswith("warning: what this was run with was not kept")]
    assert str(dissected) in said and "did not expect" not in said


def test_commands_that_only_read_write_nothing_beside_what_they_read(
    dissected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(dissected)
    assert run_command("export", dissected, "--to", "csv", "--out", tmp_path / "out")[0] == 0
    monkeypatch.chdir(dissected)
    assert run_command("compare", dissected, dissected, "--json")[0] == 0
    assert contents(dissected) == before


def test_a_folder_of_options_is_not_where_compare_writes(dissected: Path) -> None:
    (dissected / "config.toml").write_text("[compare]\nleast = 0.4\n", encoding="utf-8")
    before = contents(dissected)
    code, printed, error = run_command("compare", dissected, dissected, "--config", dissected, "--json")
    assert code == 0, error
    assert json.loads(printed)["facts"]["least"] == 0.4 and contents(dissected) == before


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


@pytest.mark.parametrize("key", ["sk-" + "a1" * 12, "hf_" + "B2" * 15, "AKIA" + "C3D4" * 4])
def test_bare_keys_are_not_written(tmp_path: Path, key: str) -> None:
    path = tmp_path / "config.toml"
    written(path, {"explain": {"chat": f"openai:{key}", "sites": ["a", key], "k": 3}})
    assert key not in path.read_text(encoding="utf-8") and read_config(path) == {"explain": {"k": 3}}


@pytest.mark.parametrize("text", ["x" * 300, "~nobody-of-this-name/x", "a\0b", "labels", "OWNER/NAME"])
def test_what_is_no_place_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert _repeatable(text, is_path=False, name="data") == text


def test_only_places_are_made_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("labels", "csv", "cpu"):
        Path(name).touch()
    for option, value in (("texts", "labels"), ("to", "csv"), ("device", "cpu")):
        assert _repeatable(value, is_path=False, name=option) == value
    assert _repeatable(["labels", "none"], is_path=False, name="data") == [str(tmp_path / "labels"), "none"]
    assert _repeatable("none", is_path=True, name="export") == str(tmp_path / "none")


def test_commands_at_once_keep_each_its_table(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: keep(path, f"command-{number}", {"k": number}), range(24)))
    assert read_config(path) == {f"command-{number}": {"k": number} for number in range(24)}
    assert [each.name for each in tmp_path.iterdir()] == ["config.toml"]


def test_what_is_there_already_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    values = {"k": 3, "chat": "sk-" + "a1" * 12}
    keep(path, "explain", values)
    path.with_name(".config.lock").mkdir()  # nothing can be written now
    keep(path, "explain", values)
    with pytest.raises(OSError, match="directory"):
        keep(path, "explain", {"k": 4})


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
