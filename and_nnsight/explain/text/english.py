"""What counting English words needs: finding them, folding their forms together, and which of them say nothing.

Plain rules without a model or a download. Words of other languages pass through; only English ones are folded.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

COMPOUND = re.compile(r"[^\W_]+(?:['’\-‐‑][^\W_]+)*")
"""A word, with what a hyphen or an apostrophe joins to it: high-pitched, car's."""

FUNCTION_WORDS = frozenset(
    """
    a about above across after again against all almost along already also although always am among an and another
    any anyone anything apart are aren't around as at away be became because become been before behind being below
    beneath beside besides between beyond both but by can can't cannot could couldn't despite did didn't do does
    doesn't doing don't done down during each either else enough especially etc even ever every everything few first
    for from further had hadn't has hasn't have haven't having he he's her here hers herself him himself his how
    however i i'd i'll i'm i've if in indeed inside instead into is isn't it it's its itself just last least less
    let let's like may me might mine more moreover most mostly much must my myself near nearly neither nor now of
    off often on once one ones only onto or other others otherwise our ours ourselves out outside over own per
    perhaps quite rather really same second seconds shall she should since so some someone something sometimes
    somewhat such than that that's the their theirs them themselves then there there's therefore these they they're
    this those though through throughout thus time times to together too toward towards under until up upon us
    usually various very via was wasn't we well were weren't what when where whether which while who whole whom
    whose why will with within would yet you your yours yourself
    """.split()
)
"""Words that hold a sentence together and say nothing of a sound. Negations (no, not, without) are not among them."""

GENERIC_WORDS = frozenset(
    """
    audible audio caption captions characterised characterized clip clips contain contained containing contains
    describe described describes description descriptions feature featured features featuring file files hear heard
    hearing include included includes including involve involves involving lasting present recorded recording recordings
    said sample samples say saying says segment segments sound sounded sounding sounds track tracks
    """.split()
)
"""Words that a description of any clip may have, whatever is heard in it."""


def compounds(text: str) -> list[str]:
    """The words of a text in order, lower-cased; high-pitched is one. A possessive 's and straight quotes go."""
    folded = unicodedata.normalize("NFKC", text).lower().replace("’", "'").replace("‐", "-").replace("‑", "-")
    return [word.removesuffix("'s") for word in COMPOUND.findall(folded)]


def words(text: str) -> list[str]:
    """The words of a text in order, lower-cased; high-pitched is two."""
    return [part for word in compounds(text) for part in word.split("-")]


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """A lower-case word without its ending: clicks, clicked and clicking are click; noises and noise are nois.

    Steps 1 and 5 of Porter's rules (1980), and -ly and -ness. Words of one to three letters stay as they are.
    """
    if len(word) <= 3 or not word.isascii() or not word.isalpha():
        return word
    return _without_e(_without_adverb(_without_participle(_without_plural(word))))


def _without_plural(word: str) -> str:
    if word.endswith("ies"):
        return _with_y(word)
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _without_participle(word: str) -> str:
    if word.endswith("ied"):
        return _with_y(word)
    root = _root_of_participle(word)
    if root is None:
        return word
    if root[-1] == root[-2] and root[-1] not in "lsz":
        return root[:-1]
    if root.endswith(("at", "bl", "iz")) or (len(root) == 3 and _closed(root)):
        return root + "e"  # pulsat-ing, rumbl-ing, vocaliz-ing; ris-ing, but not beat-ing
    return root


def _root_of_participle(word: str) -> str | None:
    """A word without -ing or -ed; None of one that is no participle: ring, seed, red."""
    for ending in ("ing", "ed"):
        if word.endswith(ending):
            root = word.removesuffix(ending)
            return root if len(root) >= 3 and _has_vowel(root) and not word.endswith("eed") else None
    return None


def _with_y(word: str) -> str:
    """A word in -ies or -ied with its own ending: cries is cry, dies is die."""
    return word[:-3] + ("y" if len(word) > 4 else "ie")


def _without_adverb(word: str) -> str:
    for ending in ("ly", "ness"):
        root = word.removesuffix(ending)
        if root != word and len(root) >= 4 and _has_vowel(root):
            return root.removesuffix("i") + "y" if root.endswith("i") else root
    return word


def _without_e(word: str) -> str:
    """Drops a last e, but not that of tone, rise and note, which would meet ton and not."""
    return word[:-1] if word.endswith("e") and len(word) > 4 else word


def _closed(root: str) -> bool:
    """Consonant, vowel, consonant (not w, x, y): the root of a word like rise or tape that has lost its e."""
    return root[-3] not in "aeiou" and root[-2] in "aeiouy" and root[-1] not in "aeiouwxy"


def _has_vowel(root: str) -> bool:
    return any(letter in "aeiou" for letter in root) or "y" in root[1:]
