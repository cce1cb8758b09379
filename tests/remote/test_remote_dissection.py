"""`dissect(remote=…)` at a server that has nothing of ours: the same result as here, and one sentence for what fails."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.remote.checkpoints import save_checkpoint, save_sounds
from tests.remote.loopback import Loopback

pytestmark = pytest.mark.slow

CLIENT = Path(__file__).with_name("client.py")
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sounds, and checkpoints that are made when a test wants them."""
    folder = tmp_path_factory.mktemp("material")
    save_sounds(folder / "sounds")
    return folder


@pytest.fixture
def ask(loopback: Loopback, material: Path, tmp_path: Path, run_script: Callable[..., Any]) -> Ask:
    """Runs a scenario of `client.py` and gives what it says."""

    def asked(
        scenario: str, *arguments: Any, models: tuple[str, ...] = ("ast",), check: bool = True, url: str = loopback.url
    ) -> Any:
        (tmp_path / "models").mkdir(exist_ok=True)
        for name in models:
            if not (material / name).exists():
                save_checkpoint(name, material / name)
            if not (tmp_path / "models" / name).exists():
                (tmp_path / "models" / name).symlink_to(material / name)
        if not (tmp_path / "sounds").exists():
            (tmp_path / "sounds").symlink_to(material / "sounds")
        done = run_script(CLIENT, scenario, url, tmp_path, *map(json.dumps, arguments), check=check)
        return json.loads(done.stdout.splitlines()[-1]) if check else done

    return asked


def is_the_same(said: dict[str, Any]) -> bool:
    return said["worst"] <= 1e-4 and all(said[part] for part in ("sites", "ids", "frames", "clips", "quarantine"))


LAYER = "audio_spectrogram_transformer.layers.1.layernorm_before"
AST = [
    {"family": "ast", "gather": ["trace", "cache", "local"]},
    {"family": "ast", "sites": ["default", f"module:{LAYER}"], "pool": "mean"},
    {"family": "ast", "sites": ["blocks.1.hook_resid_post"], "pool": "cls"},
    {"family": "ast", "sites": ["blocks.0.hook_attn_out"], "pool": "first", "audio": "features"},
    {"family": "ast", "sites": ["unembed.hook_out", "blocks.0.mlp.hook_pre"], "pool": "last"},
    {"family": "ast-bare", "gather": ["trace"]},
    {"family": "ast", "sites": ["heads", "blocks.1.attn.hook_z"], "gather": ["trace", "cache", "local"]},
]


def test_ast_there_is_ast_here(ask: Ask) -> None:
    for said in ask("same", AST, models=("ast", "ast-bare")):
        assert is_the_same(said), str(said)
        assert said["dtype"] == "float32"
        assert said["printed"] == ""


@pytest.mark.parametrize(
    "families",
    [("whisper-generate", "whisper", "clap"), ("wav2vec2-ctc", "wav2vec2-post"), ("hubert-pre", "wavlm-pre")],
)
def test_every_family_there_is_itself_here(families: tuple[str, ...], ask: Ask) -> None:
    for said in ask("same", [{"family": family} for family in families], models=families):
        assert is_the_same(said), str(said)


def test_ragged_clips_there_are_ragged_clips_here(ask: Ask) -> None:
    cases = [
        {
            "family": "wav2vec2-ctc",
            "gather": ["trace"],
            "sites": ["all", "module:wav2vec2.feature_extractor.conv_layers.3.conv"],
        }
    ]
    (said,) = ask("same", cases, models=("wav2vec2-ctc",))
    assert is_the_same(said), str(said)


MESSAGES = {
    "memory": "the server ran out of memory: lower batch_size, or ask for fewer sites (torch.OutOfMemoryError: CUDA out",
    "traceback": "a job failed at the server: KeyError: 'what'; ",
    "timeout": "the job took longer than the server allows: lower clips_per_job",
    "evicted": "a job was sent once and came to nothing, the last time because the server says: Replica was evicted",
    "not deployed": "the server cannot load this model (Could not deploy this model. CANT_ACCOMMODATE",
    "forgotten": "because the server never mentioned it",
    "lost": "because it has ",
    "gone": "because its answer cannot be fetched (404)",
    "truncated": "because its answer ",
    "garbage": "because its answer is damaged",
    "other names": "because its answer holds no state",
    "not a dict": "because its answer holds no state",
    "no data": "because it ended without an answer",
    "too large": "lower clips_per_job or batch_size (Request Entity Too Large)",
    "no key": "wants an API key (Missing or invalid API key.",
    "another dtype": "the server runs the model in bfloat16 now, and earlier clips were run in float32",
    "away": "start the server again, or check the network",
}


def test_what_fails_in_the_middle_is_said_in_a_sentence_kept_and_gone_on_with(ask: Ask) -> None:
    told = ask("errors")
    passing = told.pop("passing")
    assert passing["said"] == "it did not fail"
    assert is_the_same(passing)
    assert set(told) == set(MESSAGES)
    for name, message in MESSAGES.items():
        said = told[name]["said"]
        assert message in said, (name, said)
        assert said.count("\n") == 0
        assert "; 3 clips are kept in " in said, (name, said)
        assert said.endswith("and the same call goes on from there"), (name, said)
    finished = [name for name in told if "jobs" in told[name]]
    assert set(finished) == {"memory", "lost", "another dtype", "away"}, "the last is of one folder that met all others"
    for name in finished:
        assert is_the_same(told[name]), (name, told[name])
        assert told[name]["jobs"] == 2, "what came home is not done again"


def test_what_does_not_fit_is_said_before_any_job_is_sent(ask: Ask) -> None:
    told = ask("refused")
    assert "wants an API key (Missing or invalid API key." in told["no key"]
    assert "does not accept the API key (Invalid API key format" in told["no uuid"]
    assert "does not accept the API key (Invalid API key.)" in told["wrong key"]
    assert told["right key"] == "it did not fail"
    assert "has nnsight 0.7.3 and this is" in told["old nnsight"]
    assert "this package needs nnsight" in told["old nnsight"], "what its own requirements refuse is not advised"
    assert "audio models have other module names in versions before 5.12" in told["old transformers"]
    assert told["new transformers"] == "it did not fail"
    assert any("install transformers==5.99.0 here" in said for said in told["warned"])
    assert told["without torchaudio"] == "it did not fail"
    assert told["audio"] == "features"
    assert "is not ready (503: Service temporarily unavailable" in told["reconnecting"]
    assert "a job's answer is larger than 1,000 bytes: ask for fewer sites or a smaller k" in told["too big"]
    assert told["jobs"] == [None], "only the one whose answer is too big is sent"
    assert told["nobody"].startswith("no server answers at http://127.0.0.1:1 (")
    assert told["host"].startswith("https://api.ndif.us wants an API key: set NDIF_API_KEY")
    assert told["done already"] == "it did not fail"
    assert "the model ran on a server, and is to run here now" in told["begun there"]
    assert "the model ran here, and is to run on a server now" in told["begun here"]


def test_a_server_that_rounds_is_told_of(ask: Ask) -> None:
    told = ask("rounded")
    assert told["dtype"] == "bfloat16"
    assert told["kept as"] == "torch.float32"
    (warned,) = told["warned"]
    assert "the server runs the model in bfloat16: activations are rounded there" in warned
    assert told["sites"]
    assert told["clips"]
    assert 0.3 < told["share"] < 1, "ids that a rounded run shares with an exact one"
    assert 0 < told["worst"] < 0.1


def test_data_of_every_kind_and_models_with_edits(ask: Ask) -> None:
    told = ask("streams")
    for name in ("generator", "workers", "edited"):
        said = {**told[name], "clips": True}  # paths differ between a generator and a list
        assert is_the_same(said), (name, said)
    assert told["edit"] == 2.5
    assert told["dispatched"] == [False, "meta"]
    sentence, jobs = told["nothing usable"]
    assert "none of the 12 clips can be used" in sentence
    assert jobs == 0


def test_nothing_of_this_machine_travels_and_sound_travels_as_it_was_recorded(ask: Ask) -> None:
    told = ask("wire", models=("wav2vec2-post",))
    assert told["leaks"] == []
    assert 2 * told["samples"] < told["plain"] < 2 * told["samples"] + 200_000
    assert told["blob"] == told["sent"]
    assert told["home"] == told["received"]


def test_what_comes_home_is_at_most_a_hundredth_of_the_activations(ask: Ask) -> None:
    told = ask("small")
    for gather in ("trace", "cache"):
        assert told[gather] <= 0.01 * told["activations"]
        assert told[f"{gather} wire"] <= 0.01 * told["activations"], "and so is all that is said meanwhile"


def files(folder: Path) -> dict[str, bytes]:
    """All of a dissection's files, without what was counted on the wire."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    manifest = json.loads(found.pop("manifest.json"))
    del manifest["remote"]
    return found | {"manifest.json": json.dumps(manifest).encode()}


@pytest.mark.parametrize("signal_name", ["SIGKILL", "SIGINT"])
def test_a_client_that_is_stopped_goes_on_where_it_was(signal_name: str, ask: Ask, tmp_path: Path) -> None:
    done: subprocess.CompletedProcess[str] = ask("whole", "stopped", signal_name, check=False)
    assert done.returncode in (-signal.SIGKILL, -signal.SIGINT, 1, 130), done.stderr
    assert not (tmp_path / "stopped" / "clips.parquet").exists()
    again = ask("whole", "stopped")
    assert again["positions"][0] > 4
    assert ask("whole", "undisturbed")["positions"][0] == 2
    assert files(tmp_path / "stopped") == files(tmp_path / "undisturbed")


def test_a_server_that_dies_and_comes_back_costs_its_jobs_and_nothing_else(ask: Ask, tmp_path: Path) -> None:
    ask("whole", "undisturbed")
    with Loopback(tmp_path / "mortal", die_on=3) as mortal:
        url, told = mortal.url, {}
        client = threading.Thread(target=lambda: told.update(ask("whole", "survived", url=url)))
        client.start()
        assert mortal.wait_for_end() == 17
        mortal.settings = {}
        mortal.restart()
        client.join()
    assert told["sent_again"] >= 1
    assert files(tmp_path / "survived") == files(tmp_path / "undisturbed")
