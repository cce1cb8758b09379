"""Forms of English words: the gerund of a verb, the article before a word."""

from __future__ import annotations


def gerund(verb: str) -> str:
    """A verb's base form with -ing: dying, rising, seeing, hitting."""
    if verb.endswith("ie"):
        return f"{verb[:-2]}ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return f"{verb[:-1]}ing"
    doubled = len(verb) == 3 and verb[-1] in "bdgmnpt" and verb[-2] in "aeiou" and verb[-3] not in "aeiou"
    return f"{verb}{verb[-1]}ing" if doubled else f"{verb}ing"


def article(word: str) -> str:
    """ "a" or "an", by how a word is spoken: an hour, a ukulele."""
    lower = word.lower()
    if lower.startswith(("one", "uni", "use", "eu", "uku")) and not lower.startswith("unin"):
        return "a"
    return "an" if lower[:1] in "aeiou" or lower.startswith(("hour", "honest")) else "a"
