"""Text that may be shown: without the passwords and keys that stand in URLs, and what would command a terminal."""

from __future__ import annotations

import re

# Every repetition that another start of a match could scan again is bounded: a long text takes linear time.
_USER = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]{0,30}://)[^/\s@?#'\"<>]*(?:@[^/\s@?#'\"<>]+)*@", re.IGNORECASE)
_NO_SCHEME = re.compile(r"(?<![\w/@])[^\s/:@'\"]{1,256}:[^\s/@'\"]{1,2048}@(?=[\w.-]+)")
_PARAMETER = re.compile(
    r"(?P<name>[?&](?:[\w.-]{0,64}[-_.])?(?:(?:api|access|auth)?(?:key|token|secret)|password|passwd|pwd|signature|sig|credential|auth)=)[^&\s#'\"<>]+",
    re.IGNORECASE,
)
_HEADER = re.compile(r"(?P<name>\bauthorization\W{1,4}\w+\s+|\bBearer\s+(?=[\w.~+/-]*\d))[\w.~+/=-]{8,}", re.IGNORECASE)

# What keys of services begin with: of Hugging Face, OpenAI, Anthropic, GitHub, GitLab, Google, Amazon, Slack.
_KEY = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}"
    r"|AIza[\w-]{35}|AKIA[0-9A-Z]{16}|xox[abp]-[\w-]{10,})"
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")


def without_control_characters(text: str) -> str:
    """The text with a space for whatever commands a terminal: line ends, escapes, changes of direction."""
    return _CONTROL.sub(" ", text)


def without_credentials(text: str) -> str:
    """The text with `…` for the user and password of every URL in it, for keys in its parameters, and for bearers."""
    return _NO_SCHEME.sub("…@", _without_certain(text))


def holds_secret(text: str) -> bool:
    """Whether something in a text can only be a key or a password: by how it begins, or by its place in a URL.

    What `without_credentials` hides besides (NAME:WORD@NAME without a scheme) may be a file's or a plugin's name.
    """
    return bool(_KEY.search(text)) or _without_certain(text) != text


def _without_certain(text: str) -> str:
    text = _USER.sub(r"\g<scheme>…@", text)
    text = _PARAMETER.sub(r"\g<name>…", text)
    return _HEADER.sub(r"\g<name>…", text)
