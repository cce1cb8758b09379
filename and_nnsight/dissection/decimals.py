"""Numbers as decimals without tails. The one home of these rules.

What is stored has 32 bits. As a Python float it is the shortest decimal that these bits are read from again: 0.1, not
0.10000000149011612. Seconds are frames times steps, to the nanosecond: 0.3, not 0.30000000000000004. Statistics have 64
bits, and 15 digits where they are written as text: 0.8, not 0.7999999999999998.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Shaped

Single = Annotated[float, "32 bits"]
"""A float that stands for a number of 32 bits: a column of a table with this type has 32 bits in Parquet."""

_NANOSECONDS = 9  # digits behind the point


def shortest(value: float | np.floating) -> float:
    """The shortest decimal that is this number in 32 bits; a number that is not finite stays."""
    from numpy import float32  # not at the top: the command line prints without numpy

    return float(str(float32(value)))


def shortest_list(values: Shaped[np.ndarray, "*any"]) -> Any:
    """`values.tolist()`, with the shortest decimals where the array has 32-bit floats; others as they are."""
    return values.astype("U32").astype("float64").tolist() if values.dtype == "float32" else values.tolist()


def fifteen_digits(number: float) -> float:
    """A number of 64 bits to the digits that it holds of any decimal; one that is not finite stays."""
    return float(f"{number:.15g}")


def to_nanoseconds(seconds: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """Seconds without the tail that their arithmetic left."""
    return seconds.round(_NANOSECONDS)
