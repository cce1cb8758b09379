"""What holds of every container: cut files are seen, tags and padding do no harm, paths and bytes agree, bounds."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from and_nnsight.audio.loading import AudioError, decode, load
from tests.audio.containers.damaging import ID3V1, KINDS, RATE, ape, id3, whole

ALL = [*KINDS, "rifx"]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_that_is_cut_anywhere_says_so(kind: str, channels: int) -> None:
    content = whole(kind, 1.0, RATE, channels)
    for share in np.linspace(0.01, 0.9999, 23):
        with pytest.raises(AudioError, match="truncated"):
            decode(content[: int(len(content) * share)])


@pytest.mark.parametrize("kind", ALL)
def test_tags_and_padding_change_nothing(kind: str) -> None:
    content = whole(kind)
    samples, rate = decode(content)
    assert len(samples) >= RATE
    before = [b"", id3(20_000), id3(10) + id3(300)]
    after = [b"", ID3V1, ape(), ape() + ID3V1, b"\0", bytes(5_000)]
    for number, start in enumerate(before):
        for end in after if number == 0 else after[:2]:
            again, same = decode(start + content + end)
            assert same == rate
            assert np.array_equal(again, samples), (len(start), end[:8])


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind not in ("vorbis", "opus", "mp3")])
def test_files_put_together_are_not_taken_for_the_first(kind: str) -> None:
    one = whole(kind)
    for between in (b"", ID3V1):
        for two in (one, whole(kind, 0.5, seed=1), whole(kind, 2.0, seed=1)):
            with pytest.raises(AudioError, match="several recordings|damaged|truncated"):
                decode(one + between + two)
    if kind not in ("au", "nist", "caf", "alac"):
        with pytest.raises(AudioError, match="several recordings put together"):
            decode(one + one)


@pytest.mark.parametrize("place", ["before", "behind", "between"])
@pytest.mark.parametrize("kind", ["wav", "flac", "mp3"])
def test_any_number_of_tags_takes_no_time_and_says_nothing_aloud(
    kind: str, place: str, capfd: pytest.CaptureFixture[str]
) -> None:
    content, tags = whole(kind), b"ID3\x03" + bytes(6)
    many = {"before": tags * 1_000_000 + content, "behind": content + tags * 1_000_000}
    many["between"] = many["behind"] + content
    began = time.process_time()
    with suppress(AudioError):
        assert np.array_equal(decode(many[place])[0], decode(content)[0])
    assert time.process_time() - began < 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ALL)
def test_a_file_and_its_bytes_are_heard_alike(kind: str, tmp_path: Path) -> None:
    for suffix in ("", ".wav", ".mp3", ".raw"):
        path = tmp_path / f"clip{suffix}"
        path.write_bytes(id3(20_000) + whole(kind))
        assert np.array_equal(decode(path)[0], decode(whole(kind))[0])


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("rate", [16000, 48000])
def test_a_window_gives_the_beginning_of_the_whole_and_its_duration(kind: str, rate: int) -> None:
    content = whole(kind, 3.0, rate)
    clip, window = load(content, RATE), load(content, RATE, window=RATE)
    assert len(window.samples) == RATE
    assert np.allclose(window.samples, clip.samples[:RATE], atol=1e-6)
    assert window.seconds == pytest.approx(clip.seconds, abs=1e-4)


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind not in ("opus", "flac", "alac", "mp3", "vorbis")])
def test_silence_to_the_end_of_a_huge_file_is_neither_read_nor_heard(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "clip"
    path.write_bytes(whole(kind))
    with path.open("r+b") as file:
        file.truncate(2**32 + 2**20)  # a hole
    assert np.array_equal(decode(path)[0], decode(whole(kind))[0])


@pytest.mark.parametrize("kind", ["flac", "vorbis", "opus", "mp3"])
def test_compressed_sound_in_a_huge_file_is_read_as_far_as_it_goes_or_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "clip"
    path.write_bytes(whole(kind))
    with path.open("r+b") as file:
        file.truncate(2**32)
    if kind == "mp3":  # which promises no length: more of it may have been there
        with pytest.raises(AudioError, match="is no frame of it"):
            decode(path)
    else:
        assert np.array_equal(decode(path)[0], decode(whole(kind))[0])


@pytest.mark.slow
def test_freshly_damaged_files_take_neither_time_nor_memory() -> None:
    """The long form: `python -m tests.audio.containers.fuzz 1000 SEED`."""
    command = [sys.executable, "-m", "tests.audio.containers.fuzz", "200", "0"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert report["others"] == [], "every failure is an AudioError"
    assert report["unlike"] == [], "a path and its bytes are heard alike"
    assert report["slowest"][0] < 1.0
    assert report["memory"] < 200
    assert min(report["outcomes"][outcome] for outcome in ("heard", "refused")) > 25
