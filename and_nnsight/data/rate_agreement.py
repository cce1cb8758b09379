"""Numbers beside waveforms, `(waveform, number)`: rates, or labels that only look like rates."""

from __future__ import annotations

from typing import Any

from .rows import number_beside
from .values import COMMON_RATES, is_rate

_ADVICE = "give (waveform, rate, label) with the true rate, or dicts with 'audio', 'sampling_rate' and 'label'"


class RateAgreement:
    """The numbers beside the waveforms of one source: they are rates as long as all of them can be.

    Labels may be numbers that look like rates: 16000 among 12345 and 7 is one. So a clip is read with a number as its
    rate only while no other clip of the data contradicts that.
    """

    def __init__(self) -> None:
        self._seen: dict[Any, int] = {}  # number: first clip with it

    def check(self, position: int, value: Any) -> None:
        """Take in a clip. Raises ValueError if its number and those of earlier ones cannot all be rates.

        A single number that is far too low to be one, as of a broken file, is that clip's own fault.
        """
        beside = number_beside(value)
        if beside is None:
            return
        self._seen.setdefault(beside, position)
        odd = [number for number in self._seen if number not in COMMON_RATES]
        read_as_rate = any(map(is_rate, self._seen))  # clips whose numbers are none are refused one by one
        if read_as_rate and len(self._seen) > 1 and (len(odd) > 1 or any(map(is_rate, odd))):
            other = next(number for number in self._seen if number != odd[0])
            raise ValueError(
                f"clip {self._seen[other]} is a waveform with {other!r} beside it, and clip {self._seen[odd[0]]} one "
                f"with {odd[0]!r}: numbers that vary so are labels, not sampling rates; {_ADVICE}"
            )


def refuse_classes(data: Any, value: Any) -> None:
    """Raise ValueError for a dataset that has classes, whose pairs are (waveform, class) then."""
    has_classes = any(hasattr(data, name) for name in ("class_to_idx", "targets", "classes"))
    beside = number_beside(value)
    if has_classes and isinstance(value, list | tuple) and len(value) == 2 and beside is not None:
        raise ValueError(
            f"clip 0 is a waveform with {beside!r} beside it, which is its class, as {type(data).__name__} has "
            f"classes, and not its sampling rate: {_ADVICE}"
        )
