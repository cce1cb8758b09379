"""Push, pull and load, with the hub's own client against a stand-in of the hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from and_nnsight import Dissection, DissectionError
from and_nnsight.dissection.decimals import shortest
from and_nnsight.dissection.hub import HubAddress
from tests.share.hub_client import files
from tests.share.hub_server import Hub, Repository, running_hub

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Visit:
    """What came of everything that a user did; the hub afterwards; what was shared."""

    told: dict[str, Any]
    hub: Hub
    folder: Path


@pytest.fixture(scope="module")
def visit(in_a_folder: Dissection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    out, folder = tmp_path_factory.mktemp("hub"), in_a_folder.folder
    environment = {name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "HF_TOKEN")}
    with running_hub() as hub:
        hub.repositories["you/texts"] = Repository(private=False)
        hub.repositories["you/texts"].add("main", {"texts.csv": hub.blob(b"a,b\n")})
        for name, of_texts, of_others in (("you/both", "texts", "main"), ("you/other", "main", "ours")):
            hub.repositories[name] = Repository(private=False)
            hub.repositories[name].add(of_texts, {"data/texts.csv": hub.blob(b"a,b\n")})
            hub.repositories[name].add(of_others, {"dissection/manifest.json": hub.blob(b"{}")})
        environment |= {
            "HF_ENDPOINT": hub.url, "HF_HOME": str(out / "home"), "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(ROOT),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200",
        }  # fmt: skip
        client = [sys.executable, "-m", "tests.share.hub_client", str(folder), str(out)]
        done = subprocess.run(client, cwd=out, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        yield Visit(json.loads(done.stdout), hub, folder)


@pytest.mark.slow
def test_what_goes_up_comes_back_byte_for_byte(visit: Visit) -> None:
    code, out, error = visit.told["pull"]
    assert (code, error) == (0, "") and "320 units, 32 clips" in out
    up = visit.hub.repositories["me/neurons"]
    first = next(files for files in up.commits.values() if "data/units/train.parquet" in files)
    assert visit.told["pulled"] == {
        name.removeprefix("dissection/"): key for name, key in first.items() if name.startswith("dissection/")
    }
    here, pulled = files(visit.folder), dict(visit.told["pulled"])
    for each in (here, pulled):
        each.pop("config.toml", None)  # what the last command was called with, the push itself among them
    changed = {name for name, key in pulled.items() if here[name] != key}
    assert set(here) == set(pulled) and changed == {"clips.parquet", "manifest.json"}
    assert all(what in visit.told["push"][1] for what in ("clips.parquet (32)", "manifest.json (2)"))
    assert visit.told["again"][0] == 2 and "is there and not empty" in visit.told["again"][2]


@pytest.mark.slow
def test_it_is_read_where_it_is(visit: Visit) -> None:
    unit = Dissection.load(visit.folder).unit("blocks.2.hook_mlp_out", 1)
    assert visit.told["hf"] == repr(unit)
    assert visit.told["show"][0] == 0 and "blocks.2.hook_mlp_out" in visit.told["show"][1]


@pytest.mark.slow
def test_the_hubs_cache_is_for_reading(visit: Visit) -> None:
    for what in ("explain", "keep"):
        code, _, error = visit.told[what]
        assert (
            code == 2 and "lies in the hub's cache, which is for reading: fetch it into a folder of your own" in error
        )
        assert "`and-nnsight pull hf://datasets/me/neurons DIR`" in error
    assert visit.told["cached"] == visit.told["pulled"]
    assert visit.told["left"] == ["home", "pulled"]


@pytest.mark.slow
def test_each_configuration_loads_streaming_too(visit: Visit) -> None:
    here = Dissection.load(visit.folder)
    told = visit.told["rows False"]
    assert set(told) == {"units", "exemplars", "clips", "summaries"}
    assert told == visit.told["rows True"]
    units = [row.columns() for row in here.units()[:40]]
    assert [(row["site"], row["unit"], shortest(row["selectivity"])) for row in told["units"]] == [
        (row["site"], row["unit"], row["selectivity"]) for row in units
    ]
    assert told["exemplars"][0]["sound"] is not None
    assert told["clips"][3]["path"] == "sounds/03.wav"


@pytest.mark.slow
def test_an_interruption_leaves_the_repository_as_it_was(visit: Visit) -> None:
    code, _, error = visit.told["died"]
    assert code == 2 and "the line went dead" in error and "what went up is not sent twice" in error
    assert visit.told["while dead"].endswith("What `and-nnsight push` puts there has one")
    uploads = visit.hub.uploads
    assert len(uploads) > 4 and len(uploads) == len(set(uploads)), "nothing was sent twice"


@pytest.mark.slow
def test_a_branch_without_sounds(visit: Visit) -> None:
    assert "320 units" in visit.told["quiet"]
    repository = visit.hub.repositories["me/neurons"]
    main, quiet = (repository.commits[repository.branches[name]] for name in ("main", "quiet"))
    assert main["data/exemplars/train.parquet"] != quiet["data/exemplars/train.parquet"]
    assert b"Audio" in visit.hub.blobs[main["data/exemplars/train.parquet"]]
    assert b"Audio" not in visit.hub.blobs[quiet["data/exemplars/train.parquet"]]
    assert visit.hub.repositories["me/hidden"].private and not repository.private


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("no token", "the hub does not know who asks: log in"),
        ("reader", "the token may not do this: take one with the right to write there"),
        ("licence", '"license" must be one of'),
        ("hidden", "there is no such dataset repository, or it is private: check the name, or log in"),
        ("nowhere", "there is no such dataset repository, or it is private"),
        ("revision", "it has no such branch, tag or commit"),
        ("not ours", "holds no dissection: it has no folder dissection/"),
        ("public", "is there and public: make it private on its page"),
        ("something else", "holds something that is no dissection (texts.csv …): take another name"),
        ("on a branch", "holds something that is no dissection (data/texts.csv …): take another name"),
        ("on a new branch", "holds something that is no dissection (texts.csv …): take another name"),
    ],
)
def test_a_refusal_says_what_to_do(visit: Visit, what: str, sentence: str) -> None:
    told = visit.told[what]
    assert sentence in (told if isinstance(told, str) else told[2])
    assert isinstance(told, str) or told[0] == 2
    assert visit.hub.repositories["you/texts"].branches.keys() == {"main"}


@pytest.mark.slow
def test_what_is_looked_at_is_the_branch_that_it_goes_to(visit: Visit) -> None:
    both, other = (visit.hub.repositories[name] for name in ("you/both", "you/other"))
    assert set(both.commits[both.branches["texts"]]) == {"data/texts.csv"}
    assert visit.told["beside"][0] == 0, visit.told["beside"]
    assert "dissection/clips.parquet" in other.commits[other.branches["ours"]]
    assert set(other.commits[other.branches["main"]]) == {"data/texts.csv"}


@pytest.mark.parametrize(
    ("text", "name", "revision"),
    [
        ("me/neurons", "me/neurons", None),
        ("hf://datasets/me/neurons", "me/neurons", None),
        ("hf:/datasets/me/neurons@v1", "me/neurons", "v1"),
        ("hf://me/ne.u-ro_ns@refs/pr/1", "me/ne.u-ro_ns", "refs/pr/1"),
        ("me/neurons@refs%2Fpr%2F1", "me/neurons", "refs/pr/1"),
    ],
)
def test_addresses(text: str, name: str, revision: str | None) -> None:
    assert HubAddress.of(text) == HubAddress(name, revision)


@pytest.mark.parametrize("text", ["neurons", "hf://datasets/neurons", "a/b/c", "hf://models/a/b", "a/b c", "", "a/b@"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(DissectionError, match="is no address of a dissection on the hub: give OWNER/NAME"):
        HubAddress.of(text)


def test_without_a_network_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DissectionError, match="it was not fetched before, and HF_HUB_OFFLINE forbids"):
        Dissection.load("hf://datasets/me/never-fetched")
