"""Servers that cannot serve a model are told before any job, and no advice is given that our own pins refuse."""

from __future__ import annotations

import warnings

import pytest
from packaging.specifiers import SpecifierSet

from and_nnsight.remote import RemoteRunError, versions
from and_nnsight.remote.versions import check_model, check_versions

PINS = {"nnsight": SpecifierSet(">=0.8.1,<0.9"), "transformers": SpecifierSet(">=5.16,<6")}


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "version", {"nnsight": "0.8.1", "transformers": "5.23.0"}.__getitem__)
    monkeypatch.setattr(versions, "_allowed", PINS.__getitem__)


@pytest.mark.parametrize(
    "there",
    [{}, {"nnsight": "0.8.0"}, {"nnsight": "0.8.2.dev3+g1234", "transformers": "5.23.4"}, {"nnsight": "unknown"}],
)
def test_versions_that_fit_are_not_talked_about(there: dict[str, str]) -> None:
    check_versions("http://there", there)


@pytest.mark.parametrize(
    ("there", "sentence"),
    [
        (
            {"nnsight": "0.7.2"},
            r"there has nnsight 0.7.2 and this is 0.8.1, whose requests .*: this package needs nnsight",
        ),
        ({"nnsight": "0.9rc1"}, r"needs nnsight<0.9,>=0.8.1: use a server that has it"),
        ({"transformers": "5.8.0"}, r"has transformers 5.8.0 and this is 5.23.0: audio models have other module names"),
        ({"transformers": "4.57.6", "nnsight": "0.8.1"}, r"before 5.12, so sites cannot be found there; this package"),
    ],
)
def test_versions_that_cannot_work_together_are_one_sentence(there: dict[str, str], sentence: str) -> None:
    with pytest.raises(RemoteRunError, match=sentence) as raised:
        check_versions("http://there", there)
    assert "\n" not in str(raised.value)
    assert "install" not in str(raised.value)


@pytest.mark.parametrize(
    ("theirs", "advice"),
    [
        ("5.17.1", "install transformers==5.17.1 here"),
        ("5.12.1", "this package needs transformers<6,>=5.16: use a server that has it"),
        ("6.0.0", "this package needs transformers<6,>=5.16: use a server that has it"),
    ],
)
def test_versions_that_may_differ_in_modules_are_warned_of(theirs: str, advice: str) -> None:
    with pytest.warns(UserWarning, match=advice):
        check_versions("http://there", {"transformers": theirs})


LAZY = {"nnsight": "0.8.1", "transformers": "5.23.0"}


@pytest.mark.parametrize(
    ("there", "saved_from", "trusted"),
    [
        ({}, "ASTModel", False),
        (LAZY, "WhisperForConditionalGeneration", True),
        (LAZY | {"nnsight": "0.8.3"}, "WhisperForConditionalGeneration", False),
        (LAZY | {"transformers": "5.22.2"}, "WhisperForConditionalGeneration", False),
        (LAZY | {"transformers": "5.16.0"}, "ASTModel", False),
        (LAZY | {"transformers": "5.15.0"}, "ASTForAudioClassification", False),
    ],
)
def test_a_server_that_can_serve_a_model_is_not_talked_about(
    there: dict[str, str], saved_from: str, trusted: bool
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_model("http://there", there, saved_from, trusted)


def test_a_server_that_cannot_serve_a_model_is_told_before_any_job() -> None:
    with pytest.raises(RemoteRunError, match="transformers 5.15.0, which leaves 12 of the 39 .* 5.16 or later"):
        check_model("http://there", {"transformers": "5.15.0"}, "ASTModel", trusted=True)
    with pytest.raises(
        RemoteRunError, match="build no audio model without its weights.*: use a server with transformers"
    ):
        check_model("http://there", LAZY, "WhisperModel", trusted=False)
    with pytest.warns(UserWarning, match="keys that are not trusted"):
        check_model("http://there", LAZY, "WhisperModel", trusted=None)


def test_what_this_package_needs_is_what_its_distribution_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert "0.8.1" in versions._allowed("nnsight")
    assert "0.7.2" not in versions._allowed("nnsight")
