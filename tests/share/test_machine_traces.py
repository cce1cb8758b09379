"""Places and keys of the machine in text that is going to leave it."""

from __future__ import annotations

from pathlib import Path

import pytest

from and_nnsight.share.machine_traces import MachineTraces

ROOTS = {"/home/me/data/bells": "bells", "/home/me": "~"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/me/data/bells/1.wav", "bells/1.wav"),
        ("/home/me/data/bells", "bells"),
        ("/home/me/data/bells2/1.wav", "~/data/bells2/1.wav"),
        ("/home/meg/x", "/home/meg/x"),
        ("file:///home/me/data/bells/1.wav", "file://bells/1.wav"),
        ('{"captioner": "x:/home/me/m"}', '{"captioner": "x:~/m"}'),
        ("https://host/home/me/x", "https://host/home/me/x"),
        ("a bell/gong and /m/04rlf", "a bell/gong and /m/04rlf"),
    ],
)
def test_known_places_are_rewritten(text: str, shown: str) -> None:
    traces = MachineTraces(dict(ROOTS))
    assert traces.text(text, "f") == shown
    assert traces.rewritten["f"] == (shown != text)
    assert traces.value({"a": [text, 1, None]}, "f") == {"a": [shown, 1, None]}


def test_the_name_of_a_site_stays_and_is_told(tmp_path: Path) -> None:
    name = f"blocks.0.sae:{tmp_path}/sae"
    traces = MachineTraces({str(tmp_path): "x"}, frozenset({name}))
    assert traces.text(name, "manifest.json") == name
    assert traces.text(f"{tmp_path}/y", "manifest.json") == "x/y"
    assert traces.text(f"see {tmp_path.parent}/z", "notes.txt") == f"see {tmp_path.parent}/z"
    rewritten, site, told = traces.lines()
    assert site == f"places on this machine stay in manifest.json, for example {tmp_path}/sae"
    assert f"{tmp_path} → x, in manifest.json (1)" in rewritten
    assert told == f"places on this machine stay in notes.txt, for example {tmp_path.parent}/z"


@pytest.mark.parametrize(
    ("text", "is_key"),
    [
        ("hf_" + "aB3" * 12, True),
        ("sk-proj-" + "a1_" * 10, True),
        ("https://me:secret@host/x.wav", True),
        ("https://host/x.wav?token=abcdef", True),
        ("hf_hub_download", False),
        ("a task-oriented sketch", False),
        ("https://host/x.wav?page=2", False),
    ],
)
def test_keys(text: str, is_key: bool) -> None:
    traces = MachineTraces({})
    traces.text(text, "f")
    assert bool(traces.keys) == is_key


def test_what_is_too_long_for_a_name_is_no_place() -> None:
    traces = MachineTraces({})
    assert traces.text(f"see /{'a' * 5000}/b", "f").endswith("/b")
    assert not traces.places
