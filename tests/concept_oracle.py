"""How units go with concepts, the slow way: over a stored table, in extended precision, a unit and concept at a time."""

from __future__ import annotations

import numpy as np

Table = np.ndarray


def similarities(values: Table, scores: Table, *, auprc: bool = True) -> dict[str, Table]:
    """pearson, cos, cos_cubed and auprc [unit, concept] of activations [clip, unit] and scores [clip, concept].

    Without `auprc`, which goes through the clips one by one, it is NaN. Units that are not finite on some clip are NaN; auprc is NaN for concepts whose scores are not all 0 or 1.
    """
    shape = (values.shape[1], scores.shape[1])
    found = {name: np.full(shape, np.nan) for name in ("pearson", "cos", "cos_cubed", "auprc")}
    for unit, concept in np.ndindex(shape):
        a, p = values[:, unit].astype(np.longdouble), scores[:, concept].astype(np.longdouble)
        if not len(a) or not np.isfinite(a).all():
            continue
        x, y = a - a.mean(), p - p.mean()
        x, y = x * bool(np.ptp(a)), y * bool(np.ptp(p))  # a rounded mean leaves a trace of what is constant
        found["pearson"][unit, concept] = _cosine(x, y)
        found["cos"][unit, concept] = _cosine(a, p)
        found["cos_cubed"][unit, concept] = _cosine(x**3, y**3, least=1e-3)
        if auprc and set(p.tolist()) <= {0.0, 1.0} and p.any():
            found["auprc"][unit, concept] = average_precision(values[:, unit], p == 1)
    return found


def _cosine(one: Table, other: Table, least: float = 0.0) -> float:
    norms = [max(np.sqrt((side**2).sum()), least) for side in (one, other)]
    return float((one * other).sum() / norms[0] / norms[1]) if norms[0] and norms[1] else 0.0


def average_precision(values: Table, fits: Table) -> float:
    """For every clip that fits, the precision among all clips that are at least as high; their mean."""
    return float(np.mean([fits[values >= value].mean() for value in values[fits]]))


def average_precision_between(bins: Table, fits: Table) -> tuple[float, float]:
    """The least and the most that average precision can be if only the bins of clips are known."""
    _, bin_of_clip, clips_of_bin = np.unique(bins, return_inverse=True, return_counts=True)
    fits_of_bin = np.bincount(bin_of_clip, weights=fits).astype(int)
    least = most = 0.0
    found = seen = 0
    for here, fit in zip(clips_of_bin[::-1].tolist(), fits_of_bin[::-1].tolist(), strict=True):
        place = np.arange(1, fit + 1)
        least += float(((found + place) / (seen + here - fit + place)).sum())
        most += fit * (found + fit) / (seen + fit) if fit else 0.0
        found, seen = found + fit, seen + here
    return least / found, most / found
