"""What the findings are called, on the command line and as files; and the types of words that units are rich in."""

from __future__ import annotations

UNITS_PER_ADJECTIVE = "units_per_adjective"
ADJECTIVES_PER_LAYER = "adjectives_per_layer"
UNINTERPRETABLE_UNITS = "uninterpretable_units"
ACCURACY_BY_WORD_TYPE = "accuracy_by_word_type"
FINDINGS = (UNITS_PER_ADJECTIVE, ADJECTIVES_PER_LAYER, UNINTERPRETABLE_UNITS, ACCURACY_BY_WORD_TYPE)
"""In the order of the paper's figures, but for the last, which alone needs the model and clips."""

PARTS = ("adjective", "noun", "verb", "preposition")
BASIC, HIGH_LEVEL, LENGTH = "basic adjective", "high-level adjective", "length"
KINDS = (*PARTS, BASIC, HIGH_LEVEL, LENGTH)
"""What an explanation can be rich in: words of a part of speech; of acoustic adjectives, those of basic features of
sound and the others (see `explain.text.acoustic_adjectives`); or words of whatever kind, each as often as it comes."""
