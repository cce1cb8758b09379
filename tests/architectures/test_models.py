"""The page docs/models.md is what trying every architecture gives."""

from __future__ import annotations

import pytest
import transformers

from .catalogue import Architecture, architectures
from .proving import proven
from .table import PATH, line

_PAGE = PATH.read_text(encoding="utf-8")
_SAME = f"transformers {transformers.__version__} " in _PAGE
_ALL = architectures() if _SAME else ()
_QUICK = ("hubert", "lasr_ctc", "whisper", "encodec")
_LONG = (
    "pe_audio", "pe_audio_encoder", "pe_audio_video", "neucodec", "xcodec2", "embedding_gemma2", "kyutai_speech_to_text", "csm",
    "higgs_audio_v2_tokenizer", "gemma3n_audio", "apertus1p5",
)  # fmt: skip
"""Front ends whose measurement takes ten seconds and more: the script tries them, and others like them are tried here."""


def _lines() -> dict[str, str]:
    rows = [text for text in _PAGE.splitlines() if text.startswith("| ") and "`" in text]
    return {text.split("|")[1].strip(): text for text in rows}


@pytest.mark.skipif(not _SAME, reason="the page is of another version of transformers")
def test_the_page_has_a_line_for_every_architecture() -> None:
    assert list(_lines().keys()) != []
    assert set(_lines()) == {architecture.model_type for architecture in _ALL}


def test_at_least_fifty_architectures_are_proven() -> None:
    right = _PAGE.partition("## The others")[0]
    assert sum(text.startswith("| ") and "`" in text for text in right.splitlines()) >= 50
    assert "not right" not in _PAGE, "an architecture whose part that hears gives something wrong"


@pytest.mark.parametrize("architecture", [each for each in _ALL if each.model_type in _QUICK], ids=str)
def test_lines_of_some_architectures_are_what_trying_them_gives(architecture: Architecture) -> None:
    assert line(proven(architecture)) == _lines()[architecture.model_type]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [each for each in _ALL if each.model_type not in _QUICK + _LONG], ids=str)
def test_lines_of_most_architectures_are_what_trying_them_gives(architecture: Architecture) -> None:
    assert line(proven(architecture)) == _lines()[architecture.model_type]
