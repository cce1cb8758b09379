"""The command line: what each command prints, and errors in one sentence with exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from and_nnsight import Dissection
from and_nnsight.cli._remote import with_value
from tests.cli.commands import run_command as run
from tests.families import save_ast
from tests.sounds_for_tests import RATE, noise


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    return save_ast(folder)


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio")
    rows = ["file_name,label,caption"]
    for index in range(6):
        soundfile.write(folder / f"{index}.flac", noise(0.5 + 0.1 * index, seed=index), RATE)
        rows.append(f"{index}.flac,kind {index % 2},[bold]Noise[/bold] number {index}")
    (folder / "metadata.csv").write_text("\n".join(rows))
    return folder


def test_sites_lists_names_widths_and_the_total(model: Path) -> None:
    code, out, _ = run("sites", model)
    assert code == 0
    assert "blocks.1.mlp.hook_post" in out
    assert "13 sites, 517 units" in out
    code, out, _ = run("sites", model, "--sites", "paper")
    assert "7 sites, 261 units" in out


def test_dissect_then_show(model: Path, audio: Path, tmp_path: Path) -> None:
    out_folder = tmp_path / "run"
    options = ["--out", out_folder, "--sites", "blocks.0.*", "--sites", "unembed.hook_out", "-k", "4", "--quiet"]
    code, out, _ = run("dissect", model, audio, *options, "--device", "cpu", "--batch-size", 4)
    assert code == 0
    assert "6 clips through 261 units of 7 sites" in out
    dissection = Dissection.load(out_folder)
    assert dissection.manifest.k == 4
    code, out, _ = run("show", out_folder, "blocks.0.mlp.hook_post", 5)
    assert code == 0
    assert "unit 5 of 64" in out
    assert "[bold]Noise[/bold] number" in out, "text from a dataset is data, not markup"
    assert out.count(".flac") == 8
    assert "are labelled 'kind" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["show", "{none}", "blocks.0.mlp.hook_post", "0"], "holds no dissection: there is no"),
        (["dissect", "{model}", "{none}", "--out", "{out}"], "no such file or folder"),
        (["dissect", "{audio}", "{audio}", "--out", "{out}"], "neither a folder with a transformers checkpoint nor"),
        (["dissect", "{model}", "{audio}", "--out", "{out}", "--sites", "nope"], "no site matches 'nope'; near names:"),
        (["dissect", "{model}", "{audio}", "--out", "{out}", "--pool", "median"], "unknown pooling 'median'"),
        (["dissect", "{model}", "{audio}", "--out", "{audio}"], "holds other files"),
        (["dissect", "{model}", "{audio}", "--out", "{out}", "--dtype", "float3"], "unknown dtype 'float3'"),
        (["sites", "{model}", "--sites", "module:x.y"], "the model has no module 'x.y'"),
        (["sites", "./no such"], "the hub: there is no such folder"),
        (["sites", "{audio}"], "the hub: the folder has no config.json"),
        (["sites", "{model}", "--device", "quantum"], "no such option: --device"),
        (["dissect", "{model}", "{audio}", "--out", "{out}", "--device", "quantum"], "none of that name; choose cpu"),
        (["show", "{none}"], "missing argument 'site': and-nnsight show --help lists"),
        (["show", "{none}", "a", "b"], "invalid value for 'unit': "),
        (["report", "{none}", "--out", "x", "--best", "0"], "invalid value for '--best': "),
        (["report", "{none}", "--oot", "x"], "no such option: --oot"),
        (["rapport", "{none}"], "no such command 'rapport'"),
        (["caption", "{audio}", "--out", "{audio}/metadata.csv"], "let the name '"),
        (["concept-scores", "{audio}", "--concepts", "a", "--out", "{audio}/0.wav"], "end in .safetensors"),
    ],
)
def test_errors_of_use_are_one_sentence_and_exit_2(
    arguments: list[str], sentence: str, model: Path, audio: Path, tmp_path: Path
) -> None:
    places = {"none": tmp_path / "none", "out": tmp_path / "out", "model": model, "audio": audio}
    code, _, error = run(*[argument.format(**places) for argument in arguments])
    assert code == 2
    (line,) = [line for line in error.splitlines() if not line.startswith("warning:")]
    assert line.startswith("error: ")
    assert sentence.lower() in line.lower()  # how an argument is written is up to the version of typer
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (["--remote"], ["--remote=default"]),
        (["--remote", "--out", "X"], ["--remote=default", "--out", "X"]),
        (["--remote", "model", "data"], ["--remote=default", "model", "data"]),
        (["--remote", "http://there:5001", "model"], ["--remote=http://there:5001", "model"]),
        (["--remote", "local"], ["--remote=local"]),
        (["--remote=https://there", "x"], ["--remote=https://there", "x"]),
        (["--", "--remote"], ["--", "--remote"]),
        (["show", "x"], ["show", "x"]),
    ],
)
def test_the_value_of_remote_may_be_left_out(given: list[str], made: list[str]) -> None:
    assert with_value(given) == made


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--remote"], 1, "wants an API key: set NDIF_API_KEY"),
        (["--remote", "http://127.0.0.1:1"], 1, "no server answers at http://127.0.0.1:1"),
        (["--remote="], 2, "--remote is empty"),
        (["--remote=there"], 2, "'there' is no server"),
        (["--gather", "trace"], 2, "give --remote too"),
        (["--remote", "local", "--device", "cpu"], 2, "device and dtype are the server's to choose"),
    ],
)
def test_a_server_that_fails_is_exit_1_and_a_mistake_is_exit_2(
    options: list[str],
    code: int,
    sentence: str,
    model: Path,
    audio: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from nnsight.schema.config import CONFIG

    monkeypatch.delenv("NDIF_API_KEY", raising=False)
    monkeypatch.setattr(CONFIG.API, "APIKEY", None)
    exit_code, _, error = run("dissect", model, audio, "--out", tmp_path / "out", *options)
    assert exit_code == code
    (line,) = [line for line in error.splitlines() if not line.startswith("warning:")]
    assert sentence in line
    assert not (tmp_path / "out").exists()


def test_unknown_commands_and_options_exit_2() -> None:
    assert run("dissekt")[0] == 2
    assert run("dissect", "--what")[0] == 2


def test_show_of_a_unit_that_is_not_there(model: Path, audio: Path, tmp_path: Path) -> None:
    run("dissect", model, audio, "--out", tmp_path / "run", "--quiet", "--device", "cpu")
    code, _, error = run("show", tmp_path / "run", "blocks.0.mlp.hook_post", 64)
    assert (code, "has units 0 to 63, not 64" in error) == (2, True)
    code, _, error = run("show", tmp_path / "run", "blocks.9.mlp.hook_post", 0)
    assert (code, "was not dissected; there are:" in error) == (2, True)


def test_help_names_every_command_and_option() -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert all(name in out for name in ("demo", "sites", "dissect", "show", "report"))
    _, out, _ = run("dissect", "--help")
    options = ["--out", "--sites", "-k", "--pool", "--batch-size", "--split", "--label-column", "--caption-column",
               "--limit", "--device", "--dtype", "--fresh", "--remote", "--clips-per-job", "--gather"]  # fmt: skip
    assert all(option in out for option in options)


def test_importing_the_package_is_light() -> None:
    code = "import sys, and_nnsight; print([m for m in ('torch', 'transformers', 'nnsight', 'datasets') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_demo_runs_offline_and_names_what_neurons_share(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "and_nnsight", "demo", "--out", str(tmp_path / "demo")]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "160"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr
    assert "What some neurons listen for" in done.stdout
    assert done.stdout.count(" of 8 are ") >= 8
    dissection = Dissection.load(tmp_path / "demo")
    assert dissection.manifest.quarantined == 0
    page = tmp_path / "demo" / "report.html"
    assert f"in any browser: {page}" in done.stdout
    assert page.read_text(encoding="utf-8").count('<article class="unit"') == 40


def test_what_would_command_a_terminal_is_not_printed(model: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(0.5), RATE)
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.wav", "caption": "red \\u001b[31m alarm \\u202e"}\n')
    run("dissect", model, tmp_path, "--out", tmp_path / "run", "--quiet", "--device", "cpu")
    _, out, _ = run("show", tmp_path / "run", "blocks.0.mlp.hook_post", 0)
    assert "alarm" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_control_c_leaves_a_run_that_resumes(
    model: Path, audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    arguments = ["dissect", model, audio, "--out", tmp_path / "run", "--quiet", "--device", "cpu"]
    with monkeypatch.context() as patch:
        patch.setattr("and_nnsight.run.local._Collection.run_group", interrupted)
        code, _, error = run(*arguments)
    assert code == 130
    assert "stopped; the same command goes on from here" in error
    code, out, _ = run(*arguments)
    assert code == 0
    assert "6 clips through 128 units" in out
