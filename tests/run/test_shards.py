"""Shards of a run, merged, are the run: file by file, whatever their number, their order, and what happened to them."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from and_nnsight import ConceptScores, Dissection, DissectionError, dissect, merge
from and_nnsight.run.shards import TORCHRUN, device_of_rank, shard_of
from tests.families import save_ast
from tests.run.runs import StopsAfter, files, made, quick
from tests.run.test_concept_runs import concepts_for
from tests.run.test_killed import audio_folder
from tests.sounds_for_tests import ragged
from tests.warm_python import Script, WarmPython

CLIPS = 41
SCRIPT = Path(__file__).with_name("killed_shard.py")


class Again:
    """Clips whose number nobody knows, which can be read again and again."""

    def __init__(self, data: Sequence[Any]) -> None:
        self.data = data

    def __iter__(self) -> Iterator[Any]:
        yield from self.data


def clips(count: int = CLIPS) -> list[Any]:
    data: list[Any] = ragged(count)
    data[11] = {"audio": b"damaged"}
    data[12] = {"audio": b"damaged too"}
    return data


def split(data: Any, out: Path, count: int, **options: Any) -> list[Dissection]:
    """A run in shards, the last first."""
    model = made()
    return [quick(model, data, out, shard=f"{index}/{count}", **options) for index in reversed(range(count))]


def without_shards(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in files(folder).items() if not name.startswith("shards")}


@pytest.mark.parametrize("count", [1, 2, 3, *(pytest.param(count, marks=pytest.mark.slow) for count in (7, 16))])
def test_the_last_shard_to_be_done_leaves_the_files_of_one_run(count: int, tmp_path: Path) -> None:
    """Of 16 some get no clip."""
    options: dict[str, Any] = {"batch_size": 3, "sites": "all", "keep_activations": True}
    quick(made(), clips(), tmp_path / "one", **options)
    *parts, whole = split(clips(), tmp_path / "split", count, **options)
    assert without_shards(tmp_path / "split") == files(tmp_path / "one")
    assert whole.folder == tmp_path / "split" and whole.manifest.clips == CLIPS - 2
    assert [str(part.manifest.shard) for part in parts] == [f"{index}/{count}" for index in range(count - 1, 0, -1)]
    assert sum(part.manifest.clips for part in parts) <= CLIPS - 2


@pytest.mark.parametrize(
    ("scores", "kind", "count", "shards"),
    [
        *((scores, kind, CLIPS, 2) for scores in ("labels", "mixed") for kind in ("sequence", "stream")),
        pytest.param("labels", "sequence", CLIPS, 7, marks=pytest.mark.slow),
        pytest.param("mixed", "stream", CLIPS, 7, marks=pytest.mark.slow),
        pytest.param("labels", "stream", 290, 3, marks=pytest.mark.slow),
        pytest.param("mixed", "sequence", 290, 3, marks=pytest.mark.slow),
    ],
)
def test_concepts_merge_to_the_bit(scores: str, kind: str, count: int, shards: int, tmp_path: Path) -> None:
    """Beyond 256 clips too, by which the edges of bins are fixed."""
    labels = ConceptScores.from_labels({clip: f"{clip % 3}" for clip in range(count)})
    concepts = labels if scores == "labels" else concepts_for(count)
    data = clips(count) if kind == "sequence" else Again(clips(count))
    options: dict[str, Any] = {"batch_size": 3 + count // 40, "concepts": concepts, "keep_activations": True}
    quick(made(), data, tmp_path / "one", **options)
    split(data, tmp_path / "split", shards, **options)
    assert without_shards(tmp_path / "split") == files(tmp_path / "one")


@pytest.mark.slow
def test_a_stream_that_is_read_once_is_split_unless_its_beginning_is_wanted_first(tmp_path: Path) -> None:
    quick(made(), iter(clips(200)), tmp_path / "one", batch_size=5)
    for index in (1, 0, 2):
        quick(made(), iter(clips(200)), tmp_path / "split", batch_size=5, shard=f"{index}/3")
    assert without_shards(tmp_path / "split") == files(tmp_path / "one")
    parts = [Dissection.load(tmp_path / "split" / "shards" / f"{index}-of-3") for index in range(3)]
    assert [part.manifest.clips for part in parts] == [78, 80, 40], "blocks of 80 clips"
    with pytest.raises(ValueError, match="a generator can be read only once"):
        options: dict[str, Any] = {"concepts": concepts_for(200), "shard": "1/2"}
        quick(made(), (clip for clip in clips(200)), tmp_path / "concepts", **options)


def test_shards_merge_elsewhere_in_any_order(tmp_path: Path) -> None:
    quick(made(), clips(), tmp_path / "one", batch_size=3)
    split(clips(), tmp_path / "split", 3, batch_size=3)
    folders = [tmp_path / "split" / "shards" / f"{index}-of-3" for index in range(3)]
    for number, order in enumerate(((2, 0, 1), (1, 2, 0), (0, 1, 2))):
        found = merge([folders[index] for index in order], out=tmp_path / f"{number}")
        assert files(tmp_path / f"{number}") == files(tmp_path / "one")
        assert found.manifest.shard is None
    merge(tmp_path / "split", out=tmp_path / "from the folder above")
    assert files(tmp_path / "from the folder above") == files(tmp_path / "one")


def test_a_limit_is_of_the_whole(tmp_path: Path) -> None:
    for data in (clips(), Again(clips())):
        out = tmp_path / type(data).__name__
        quick(made(), data, out / "one", batch_size=3, limit=20)
        split(data, out / "split", 3, batch_size=3, limit=20)
        assert without_shards(out / "split") == files(out / "one")


def test_what_is_whole_is_returned_though_its_shards_are_gone(tmp_path: Path) -> None:
    split(clips(), tmp_path / "run", 2, batch_size=3)
    shutil.rmtree(tmp_path / "run" / "shards")
    before = files(tmp_path / "run")
    assert quick(made(), clips(), tmp_path / "run", batch_size=3, shard="1/2").folder == tmp_path / "run"
    assert quick(made(), clips(), tmp_path / "run", batch_size=3).folder == tmp_path / "run"
    assert files(tmp_path / "run") == before


@pytest.mark.slow
def test_sounds_of_exemplars_come_from_the_shards(tmp_path: Path) -> None:
    options: dict[str, Any] = {"batch_size": 5, "keep_exemplars": 2}
    quick(made(), iter(clips(150)), tmp_path / "one", **options)
    for index in (1, 0):
        quick(made(), iter(clips(150)), tmp_path / "split", shard=f"{index}/2", **options)
    assert without_shards(tmp_path / "split") == files(tmp_path / "one")
    assert any(name.startswith("exemplars/curves") for name in files(tmp_path / "one"))


@pytest.mark.slow
def test_a_shard_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    quick(made(), clips(200), tmp_path / "one", batch_size=5)
    for index, at in ((1, 100), (0, 20)):
        data = StopsAfter(clips(200), at, KeyboardInterrupt)
        options: dict[str, Any] = {"batch_size": 5, "shard": f"{index}/2", "resume": "trust"}
        with pytest.raises(KeyboardInterrupt):
            quick(made(), data, tmp_path / "split", **options)
        data.at = -1
        quick(made(), data, tmp_path / "split", **options)
    names = [name for name in files(tmp_path / "one") if name.startswith(("sites", "clips"))]
    assert all(without_shards(tmp_path / "split")[name] == files(tmp_path / "one")[name] for name in names)


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in three shards, all done."""
    out = tmp_path_factory.mktemp("three")
    split(clips(), out, 3, batch_size=3)
    return out / "shards"


@pytest.mark.parametrize(
    ("shard", "message"),
    [
        ("3/3", "counted from 0, as ranks are: those of 3 are 0/3 to 2/3"),
        ("4/3", "counted from 0"),
        ("0/0", "shard is i/n"),
        ("1", "shard is i/n, the i-th of n parts counted from 0, for example 0/4: not '1'"),
        ("-1/3", "shard is i/n"),
        ("a/b", "shard is i/n"),
        (TORCHRUN, "RANK and WORLD_SIZE, which are not set: start with torchrun"),
    ],
)
def test_what_is_no_shard_is_refused(shard: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        quick(made(), clips(), tmp_path / "run", shard=shard)
    assert not (tmp_path / "run").exists()


def test_a_shard_that_is_missing_is_named(three: Path, tmp_path: Path) -> None:
    for there, message in (((0, 2), "1 shard of 3 is missing: 1/3"), ((1,), "2 shards of 3 are missing: 0/3, 2/3")):
        with pytest.raises(DissectionError, match=message):
            merge([three / f"{index}-of-3" for index in there], out=tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_a_shard_that_is_there_twice_is_named(three: Path, tmp_path: Path) -> None:
    shutil.copytree(three / "1-of-3", tmp_path / "copy")
    with pytest.raises(DissectionError, match="shard 1/3 is there twice: .*1-of-3 and .*copy"):
        merge([*three.iterdir(), tmp_path / "copy"], out=tmp_path / "merged")


def test_a_shard_that_is_not_done_is_named(three: Path, tmp_path: Path) -> None:
    data = StopsAfter(clips(), 38, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        quick(made(), data, tmp_path / "run", batch_size=3, shard="0/1")
    with pytest.raises(DissectionError, match="shard 0/1 in .* is not done: call dissect again .* shard='0/1'"):
        merge(tmp_path / "run", out=tmp_path / "merged")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 2}, "k is 3 there, 2 here"),
        ({"data": clips(40)}, "another dataset fingerprint"),
        ({"sites": "all"}, "sites there"),
        ({"limit": 30}, "dataset limit is None there, 30 here"),
    ],
)
def test_a_shard_of_another_run_is_named(options: dict[str, Any], message: str, three: Path, tmp_path: Path) -> None:
    quick(made(), options.pop("data", clips()), tmp_path, batch_size=3, shard="2/3", **options)
    foreign = tmp_path / "shards" / "2-of-3"
    with pytest.raises(DissectionError, match=message) as raised:
        merge([three / "0-of-3", three / "1-of-3", foreign], out=tmp_path / "merged")
    assert str(foreign) in str(raised.value)
    shutil.copytree(three / "0-of-3", tmp_path / "shards" / "0-of-3")
    with pytest.raises(DissectionError, match="holds a shard of another run"):
        quick(made(), clips(), tmp_path, batch_size=3, shard="1/3")


def test_shards_of_several_numbers_are_not_mixed(three: Path, tmp_path: Path) -> None:
    quick(made(), clips(), tmp_path, batch_size=3, shard="1/2")
    with pytest.raises(DissectionError, match="0-of-3 holds shard 0/3 and .*1-of-2 shard 1/2"):
        merge([three / "0-of-3", tmp_path / "shards" / "1-of-2"], out=tmp_path / "merged")
    with pytest.raises(DissectionError, match="holds shard 1/2 of a run, and this is 0/3"):
        quick(made(), clips(), tmp_path, batch_size=3, shard="0/3")


def test_shards_with_gaps_or_clips_in_common_are_refused(tmp_path: Path) -> None:
    for index, size in ((0, 3), (1, 4)):
        quick(made(), clips(), tmp_path / f"{size}", batch_size=size, shard=f"{index}/2")
    folders = [tmp_path / "3" / "shards" / "0-of-2", tmp_path / "4" / "shards" / "1-of-2"]
    with pytest.raises(DissectionError, match="clip 20 is in two shards: .*0-of-2 and .*1-of-2"):
        merge(folders, out=tmp_path / "merged")
    for index, size in ((1, 3), (0, 4)):
        quick(made(), clips(), tmp_path / f"{size}", batch_size=size, shard=f"{index}/2")
    folders = [tmp_path / "4" / "shards" / "0-of-2", tmp_path / "3" / "shards" / "1-of-2"]
    with pytest.raises(DissectionError, match="clip 20 of the stream is in no shard"):
        merge(folders, out=tmp_path / "merged")


@pytest.mark.parametrize("name", ["sums.safetensors", "clips.parquet", "quarantine.jsonl"])
def test_a_damaged_shard_is_named(name: str, three: Path, tmp_path: Path) -> None:
    shutil.copytree(three, tmp_path / "shards")
    path = tmp_path / "shards" / "0-of-3" / name
    path.write_bytes(path.read_bytes()[:-7] + b"damaged")
    with pytest.raises(DissectionError, match=f"0-of-3/{name}"):
        merge(tmp_path, out=tmp_path / "merged")


def test_what_is_no_shard_does_not_merge(three: Path, tmp_path: Path) -> None:
    quick(made(), clips(), tmp_path / "whole", batch_size=3)
    for folder, message in (
        (tmp_path / "whole", "holds no shard of a run: it was made without shard="),
        (tmp_path / "none", "holds no shard: there is no such folder"),
        (tmp_path, "holds no shard: there is no manifest.json"),
    ):
        with pytest.raises(DissectionError, match=message):
            merge([*three.iterdir(), folder], out=tmp_path / "merged")
    (tmp_path / "empty" / "shards").mkdir(parents=True)
    with pytest.raises(DissectionError, match="there is no shard to merge"):
        merge(tmp_path / "empty", out=tmp_path / "merged")


def test_shards_do_not_overwrite_an_unfinished_run(three: Path, tmp_path: Path) -> None:
    data = StopsAfter(clips(), 20, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        quick(made(), data, tmp_path / "run", batch_size=3)
    with pytest.raises(DissectionError):
        merge(three.parent, out=tmp_path / "run")


def test_a_folder_of_shards_is_no_place_for_a_whole_run(tmp_path: Path) -> None:
    quick(made(), clips(), tmp_path, batch_size=3, shard="1/2")
    with pytest.raises(DissectionError, match="holds shards of a run: merge them"):
        quick(made(), clips(), tmp_path, batch_size=3)


def test_no_usable_clip_in_any_shard_is_said(tmp_path: Path) -> None:
    data = [b"no", b"sound"]
    quick(made(), data, tmp_path, batch_size=1, shard="0/2")
    with pytest.raises(DissectionError, match="none of 2 clips in 2 shards can be used"):
        quick(made(), data, tmp_path, batch_size=1, shard="1/2")


def test_a_servers_run_has_no_shards(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leave shard= out with remote="):
        dissect("org/model", clips(), out=tmp_path / "run", shard="0/2", remote="local")


# -- torchrun ----------------------------------------------------------------------------------------------------------


def test_torchruns_environment_names_the_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
    assert str(shard_of(TORCHRUN, environment)) == "5/8"
    assert shard_of(TORCHRUN, {**environment, "RANK": "0", "WORLD_SIZE": "1"}) is None
    assert device_of_rank("cpu", environment) == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert device_of_rank(None, environment) == device_of_rank("cuda", environment) == "cuda:1"
    assert device_of_rank("cuda:3", environment) == "cuda:3"


def test_a_rank_takes_its_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quick(made(), clips(), tmp_path / "one", batch_size=3)
    for rank in ("1", "0"):
        for name, value in {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2"}.items():
            monkeypatch.setenv(name, value)
        found = quick(made(), clips(), tmp_path / "split", batch_size=3, shard=TORCHRUN, device="cpu")
    assert found.folder == tmp_path / "split"
    assert without_shards(tmp_path / "split") == files(tmp_path / "one")


# -- kills -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(warm_python: WarmPython) -> Callable[..., Script]:
    """A shard, or with "none" the whole, that kills itself at an operation on its files; 0: at none."""

    def started(shard: str, operation: int, out: Path, *places: Path) -> Script:
        model, audio, scores = places
        return warm_python.start(SCRIPT, model, audio, out, shard, operation, scores)

    return started


@pytest.mark.slow
def test_shards_that_are_killed_at_random_moments_and_started_again_end_in_the_files_of_one_run(
    run: Callable[..., Script], tmp_path: Path
) -> None:
    model, audio, scores = tmp_path / "model", tmp_path / "audio", tmp_path / "scores.safetensors"
    save_ast(model)
    audio_folder(audio, 36)
    (audio / "020.wav").write_bytes(b"damaged")
    ConceptScores.from_labels({clip: f"{clip % 5}" for clip in range(36)}).save(scores)
    whole = run("none", 0, tmp_path / "whole", model, audio, scores)
    assert whole.wait() == 0, whole.stderr.read_text()
    operations = int(whole.stdout.read_text().split()[-1])
    chance, out, kills = random.Random(0), tmp_path / "split", 0
    waiting = [f"{index}/3" for index in range(3)]
    while waiting:
        shard = chance.choice(waiting)
        moment = chance.randint(2, operations // 3) if kills < 9 else 0
        script = run(shard, moment, out, model, audio, scores)
        code = script.wait()
        assert code in (0, -signal.SIGKILL), script.stderr.read_text()
        if code == 0:
            waiting.remove(shard)
        kills += code != 0
    assert kills > 3
    assert without_shards(out) == files(tmp_path / "whole")


@pytest.mark.slow
def test_a_merge_that_is_killed_is_done_again(run: Callable[..., Script], tmp_path: Path) -> None:
    model, audio, scores = tmp_path / "model", tmp_path / "audio", tmp_path / "scores.safetensors"
    save_ast(model)
    audio_folder(audio, 12)
    ConceptScores.from_labels({clip: f"{clip % 5}" for clip in range(12)}).save(scores)
    assert run("none", 0, tmp_path / "whole", model, audio, scores).wait() == 0
    assert run("0/2", 0, tmp_path / "first", model, audio, scores).wait() == 0
    shutil.copytree(tmp_path / "first", tmp_path / "counted")
    done = run("1/2", 0, tmp_path / "counted", model, audio, scores)
    assert done.wait() == 0
    operations = int(done.stdout.read_text().split()[-1])
    for moment in range(operations - 40, operations, 7):
        out = tmp_path / f"{moment}"
        shutil.copytree(tmp_path / "first", out)
        assert run("1/2", moment, out, model, audio, scores).wait() == -signal.SIGKILL
        again = run("1/2", 0, out, model, audio, scores)
        assert again.wait() == 0, again.stderr.read_text()
        assert without_shards(out) == files(tmp_path / "whole"), moment
