"""What the tagger gets wrong about descriptions of sound, put right: participles, compounds, verbs that end in -s.

The tagger's classes are the British National Corpus's C5 tags: AJ0 adjective, AV0 adverb, NN1 and NN2 noun in singular
and plural, VVG and VVN the -ing and -ed participles, VVZ a verb in -s, VB. to be, PRP and PRF prepositions, ...
Every rule sees the words with their tags and changes one tag at a time, from left to right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Token:
    """A word in the text, its base form, and its C5 tag."""

    word: str
    lemma: str
    tag: str

    def retag(self, tag: str) -> None:
        """Another tag. An adjective made of a participle is its own base form; a verb loses its ending."""
        self.tag = tag
        if tag == "AJ0":
            self.lemma = self.word.lower()
        elif tag == "VVZ" and self.lemma == self.word.lower():
            self.lemma = self.lemma.removesuffix("s")


_NOUN_TAGS = ("NN0", "NN1", "NN2", "NP0")
_SINGULAR = frozenset(("a", "an", "each", "every", "one"))
_QUANTITIES = frozenset(("little", "much", "any"))
_FLAT_ADVERBS = frozenset(
    ("clean", "close", "deep", "fast", "hard", "high", "long", "loud", "low", "short", "slow", "wide")
)
_FIXED = {"audio": "NN1", "acoustic": "AJ0", "legato": "AJ0", "staccato": "AJ0"}
_LINKING = frozenset(("be", "sound", "seem", "appear", "feel", "become", "remain", "get"))

_NOUNS_IN_ING = frozenset(
    """
    anything beginning being bring building ceiling cling clothing ding earring ending evening everything feeling fling
    king meaning meeting morning nothing opening ping recording ring setting sing sling something spring sting string
    swing thing upbringing wedding wing
    """.split()
)
"""Words in -ing that are no participles, and those that name a thing rather than what it does."""

_PREDICATES_IN_ING = frozenset(
    """
    alarming amazing amusing annoying boring calming captivating charming comforting compelling confusing convincing
    deafening depressing disturbing engaging entertaining exciting frightening grating gripping harrowing haunting
    inspiring interesting inviting irritating jarring menacing moving overpowering overwhelming piercing pleasing
    pressing relaxing shocking soothing startling stirring striking surprising terrifying threatening thrilling
    unnerving unsettling uplifting
    """.split()
)
"""Participles that say how something is, not what it does, after "to be" as well: "the tone is soothing"."""

_IRREGULAR_ING = {"dying": "die", "lying": "lie", "tying": "tie"}

_HAPPENINGS = frozenset(
    """
    accompany add call capture cause create describe detect follow generate give hear hold include interrupt join make
    mention perform pick place play produce record repeat say see show speak strike surround take use
    """.split()
)
"""Verbs whose passive says what happens: "a voice is heard", against "the voice is strained"."""

_COMPOUND_HEADS = frozenset(
    "bell bird fast hard heavy high lo long loud low medium mid middle short slow soft well wide".split()
)
_COMPOUND_TAILS = frozenset(
    """
    ended fi fidelity free frequency intensity length like paced pitch pitched quality range rich sounding tempo toned
    """.split()
)


def mend(tokens: list[Token]) -> None:
    """Apply every rule, in place."""
    for rule in (_fixed, _compounds, _verbs_in_s, _flat_adverbs, _nouns, _in_ing, _in_ed, _languages):
        for place in range(len(tokens)):
            rule(_At(tokens, place))


class _At:
    """A word among its neighbours."""

    def __init__(self, tokens: list[Token], place: int) -> None:
        self.tokens, self.place, self.token = tokens, place, tokens[place]
        self.lower = self.token.word.lower()

    def before(self, skipped: tuple[str, ...] = ("AV0",)) -> Token | None:
        """The nearest word before with none of the skipped tags."""
        return next((token for token in reversed(self.tokens[: self.place]) if token.tag not in skipped), None)

    def after(self, skipped: tuple[str, ...] = ()) -> Token | None:
        return next((token for token in self.tokens[self.place + 1 :] if token.tag not in skipped), None)

    def qualifies(self) -> bool:
        """Whether a noun follows, directly or after more adjectives, and no noun stands before."""
        before, after = self.before(), self.after(("AJ0", "AJC", "AJS"))
        return _is(after, _NOUN_TAGS) and not _is(before, (*_NOUN_TAGS, "PNP", "PNI", "VBZ", "VBB", "VBD", "VBG"))

    def phrase_is_singular(self) -> bool:
        """Whether the nouns and adjectives right before follow "a" or the like, or begin the sentence."""
        inner = ("NN1", "NP0", "AJ0", "AV0", "PUN")
        head = next((token for token in reversed(self.tokens[: self.place]) if token.tag not in inner), None)
        return head is None or head.word.lower() in _SINGULAR

    def clause_before(self, holds: Callable[[Token], bool]) -> bool:
        """Whether a word between here and the last punctuation mark is such."""
        for token in reversed(self.tokens[: self.place]):
            if token.tag.startswith("PU"):
                return False
            if holds(token):
                return True
        return False


def _is(token: Token | None, tags: tuple[str, ...]) -> bool:
    return token is not None and token.tag in tags


def _is_verb(token: Token) -> bool:
    return token.tag.startswith(("VV", "VB", "VD", "VH", "VM"))


def _fixed(at: _At) -> None:
    if at.lower in _FIXED:
        at.token.retag(_FIXED[at.lower])


def _compounds(at: _At) -> None:
    """ "High-quality recordings", "a mid-range note", "hiss-like"; but "in the mid-range"."""
    head, hyphen, tail = at.lower.rpartition("-")
    if not hyphen or at.token.tag not in ("NN0", "NN1", "NP0", "UNC", "VVN", "VVD", "AV0"):
        return
    if not (tail in _COMPOUND_TAILS or head in _COMPOUND_HEADS or tail.endswith(("ed", "ing"))):
        return
    alone = _is(at.before(), ("AT0", "DPS", "DT0")) and not _is(at.after(("AJ0",)), _NOUN_TAGS)
    if not alone:
        at.token.retag("AJ0")


def _flat_adverbs(at: _At) -> None:
    """ "A loud, long hit", "Low." long, fast, deep and their like are adjectives before a noun, and without a verb."""
    if at.token.tag != "AV0" or at.lower not in _FLAT_ADVERBS:
        return
    before, after = at.before(("AV0", "PUN", "CJC")), at.after(("AJ0", "AJC", "AJS", "PUN"))
    base_form = after is not None and after.tag.startswith("VV") and after.lemma == after.word.lower()
    within = (_is(after, _NOUN_TAGS) or base_form) and _is(before, ("AT0", "DPS", "AJ0", "AJC", "AJS"))
    if within or not any(_is_verb(token) for token in at.tokens):
        at.token.retag("AJ0")


def _nouns(at: _At) -> None:
    """ "A short hit", "played on a bird tweet", "with little sustain": after an article no verb has its base form."""
    if at.token.tag not in ("VVB", "VVI", "VVD", "VVN") or at.token.lemma != at.lower:
        return
    before = at.before()
    if before is None:
        return
    nominal = before.tag in ("AT0", "DPS", "AJ0", "AJC", "AJS")
    quantity = at.before(())
    if quantity is not None and quantity.word.lower() in _QUANTITIES:
        nominal = True
    if nominal or (before.tag in ("NN1", "NP0") and at.phrase_is_singular()):
        at.token.retag("NN1")


def _in_ing(at: _At) -> None:
    """ "A rumbling engine" is how it is; "birds are chirping" and "a dog barking loudly" are what they do."""
    if not _may_be_in_ing(at):
        return
    if _follows_be(at):
        at.token.retag("AJ0" if at.lower in _PREDICATES_IN_ING else "VVG")
    elif at.qualifies():
        at.token.retag("AJ0")
    elif at.token.tag == "NN1" and _is(at.before(()), _NOUN_TAGS) and not _is(at.after(), _NOUN_TAGS):
        at.token.retag("VVG")
    if at.token.tag == "VVG":
        _mend_lemma_in_ing(at)


def _mend_lemma_in_ing(at: _At) -> None:
    if at.token.lemma == at.lower or at.lower in _IRREGULAR_ING:
        at.token.lemma = _IRREGULAR_ING.get(at.lower) or _without_ing(at.lower)


def _may_be_in_ing(at: _At) -> bool:
    if not at.lower.endswith("ing") or "-" in at.lower or at.lower in _NOUNS_IN_ING:
        return False
    return at.token.tag in ("NN1", "NN0", "VVG", "AJ0", "UNC")


def _follows_be(at: _At) -> bool:
    """Whether a form of "to be" stands before, or before another participle that this one is joined to."""
    before = at.before()
    if before is None:
        return False
    if before.tag in ("CJC", "PUN"):
        return _follows_participle(_At(at.tokens, at.tokens.index(before))) and not at.qualifies()
    return before.tag.startswith("VB")


def _follows_participle(at: _At) -> bool:
    before = at.before()
    return before is not None and before.tag == "VVG" and before.word.lower().endswith("ing")


def _in_ed(at: _At) -> None:
    """ "Muffled voices", "the voice is strained"; but "a voice is heard", "a note played on a guitar"."""
    if at.token.tag not in ("VVN", "VVD"):
        return
    before = at.before()
    if at.token.lemma not in _HAPPENINGS and (before is None or before.lemma in _LINKING):
        if _ends_phrase(at):
            at.token.retag("AJ0")
    elif at.token.tag == "VVN" and at.qualifies() and not (before and before.tag.startswith(("VB", "VH"))):
        at.token.retag("AJ0")


def _ends_phrase(at: _At) -> bool:
    after = at.after()
    return after is None or after.tag.startswith("PU") or after.tag in ("CJC", "CJS", "CJT")


def _languages(at: _At) -> None:
    """ "Speaks Spanish": an adjective written with a capital that qualifies nothing is a name."""
    if at.token.tag == "AJ0" and at.place and at.token.word[0].isupper() and not at.token.word.isupper():
        before = at.before()
        named = before is not None and before.tag.startswith(("VV", "PR", "CJ"))
        if named and not _is(at.after(("AJ0",)), _NOUN_TAGS):
            at.token.tag = "NN1"


def _verbs_in_s(at: _At) -> None:
    """ "A crackling fire burns": what begins with "a" cannot end in a plural."""
    if at.token.tag not in ("NN2", "NN0") or not at.lower.endswith("s") or not _is(at.before(()), ("NN1", "NP0")):
        return
    if at.clause_before(lambda token: _is_verb(token) or token.tag.startswith("PR")):
        return
    if at.clause_before(lambda token: token.word.lower() in _SINGULAR) and not _is(at.after(), _NOUN_TAGS):
        at.token.retag("VVZ")


def _without_ing(word: str) -> str:
    stem = word.removesuffix("ing")
    doubled = len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "lsz"
    return stem[:-1] if doubled else stem
