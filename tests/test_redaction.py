"""No password or key that stands in a URL is shown; everything else is."""

from __future__ import annotations

import pytest

from and_nnsight.redaction import holds_secret, without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no server at http://me:secret@host:8000/v1", "no server at http://…@host:8000/v1"),
        ("https://secret@host/a?b=1", "https://…@host/a?b=1"),
        ("'http://me:se@cret@host/v1' is", "'http://…@host/v1' is"),
        ("socks5://me:secret@host", "socks5://…@host"),
        ("me:secret@host:80/v1", "…@host:80/v1"),
        ("http://host/v1?api_key=secret&x=1", "http://host/v1?api_key=…&x=1"),
        (
            "s3://b/f?X-Amz-Signature=secret&X-Amz-Security-Token=secret",
            "s3://b/f?X-Amz-Signature=…&X-Amz-Security-Token=…",
        ),
        ("Authorization: Bearer secret-secret and Bearer sk-12345678", "Authorization: Bearer … and Bearer …"),
        ("types are basic adjective, high-level adjective", "types are basic adjective, high-level adjective"),
        ("{'Authorization': 'Basic dXNlcjpwYXNz'}", "{'Authorization': 'Basic …'}"),
        ("hf://datasets/a/b@main/c.wav", "hf://datasets/a/b@main/c.wav"),
        ("write to a@b.org at 12:30", "write to a@b.org at 12:30"),
        ("/data/a@b/c:d.wav", "/data/a@b/c:d.wav"),
        ("clips.wav?monkey=1", "clips.wav?monkey=1"),
    ],
)
def test_passwords_and_keys_are_not_shown(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


@pytest.mark.parametrize("piece", ["[", "a.", "a:", "?-", "&key", "x-y://"])
def test_a_long_text_is_read_in_a_moment(piece: str) -> None:
    """By a pattern that starts anew everywhere it would take minutes."""
    text = piece * (200_000 // len(piece))
    assert without_credentials(text) == text


@pytest.mark.parametrize(
    "secret",
    [f"hf_{'a' * 30}", f"sk-{'a' * 30}", f"github_pat_{'a' * 40}", f"glpat-{'a' * 20}", f"AIza{'a' * 35}",
     "https://me:word@host/x", "https://host/x?api_key=abcdef", "Authorization: Bearer abc123def456"],
)  # fmt: skip
def test_what_can_only_be_a_secret_is_told(secret: str) -> None:
    assert holds_secret(f"it is {secret} there")


@pytest.mark.parametrize(
    "text",
    ["take 12:30@studio.wav", "openai:gpt-4@proxy", "a row of knocks", "hf_hub", "sk-learn", "https://…@host/x?key=…"],
)
def test_what_may_be_a_name_is_no_secret(text: str) -> None:
    assert not holds_secret(text)
