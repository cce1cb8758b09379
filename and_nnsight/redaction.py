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


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")


def without_control_characters(text: str) -> str:
    """The text with a space for whatever commands a terminal: line ends, escapes, changes of direction."""
    return _CONTROL.sub(" ", text)


def without_credentials(text: str) -> str:
    """The text with `…` for the user and password of every URL in it, for keys in its parameters, and for bearers."""
    text = _USER.sub(r"\g<scheme>…@", text)
    text = _NO_SCHEME.sub("…@", text)
    text = _PARAMETER.sub(r"\g<name>…", text)
    return _HEADER.sub(r"\g<name>…", text)
