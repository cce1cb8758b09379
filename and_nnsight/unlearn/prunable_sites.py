"""The sites whose units are chosen from.

By default all that were dissected but the class logits: with the preset "paper" the outputs of the three linear
layers of every block, as the paper prunes them, where a unit of hook_attn_out or hook_mlp_out is a direction in which a
block writes to the residual stream, and a unit of mlp.hook_pre a neuron. A site whose units are those of another as
well (mlp.hook_post beside mlp.hook_pre, a site's heads or latents beside the site) or a sum that holds everything
before it (hook_resid_post) is left out, so that no unit is pruned twice. Every method and its random controls draw from
the same sites.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..dictionaries.role import MARK
from ..dissection.dissection import Dissection, DissectionError
from ..sites.names import HEAD, matching_names


def site_widths(dissection: Dissection, sites: str | Iterable[str] | None = None) -> dict[str, int]:
    """The units of the sites that match; None: those of the default sites (see the module).

    Raises DissectionError for a pattern that matches none, and where nothing is left.
    """
    if sites is None:
        return _default_sites(dissection)
    named: set[str] = set()
    for pattern in [sites] if isinstance(sites, str) else sites:
        matching = matching_names(dissection.sites, pattern)
        if not matching:
            raise DissectionError(f"no dissected site matches {pattern!r}; there are: {', '.join(dissection.sites)}")
        named.update(matching)
    if not named:
        raise DissectionError("no site was asked for: name at least one, or leave sites out")
    return {site: width for site, width in dissection.widths().items() if site in named}


def _default_sites(dissection: Dissection) -> dict[str, int]:
    """All but the class logits, each unit once."""
    inside = {site: width for site, width in dissection.widths().items() if site != HEAD}
    if not inside:
        raise DissectionError(f"{dissection.folder} is of the class logits alone: dissect sites within the model")
    return {site: width for site, width in inside.items() if not _elsewhere(site, inside)} or inside


def _elsewhere(site: str, sites: Mapping[str, int]) -> bool:
    """Whether a site's units are those of another one as well, or sums of all that other sites write."""
    base, mark, _ = site.partition(MARK)
    if mark:
        return base in sites and not _elsewhere(base, sites)
    block, _, kind = site.partition(".mlp.")
    if kind == "hook_post":
        return f"{block}.mlp.hook_pre" in sites
    return site.endswith(".hook_resid_post") and any(not name.endswith(".hook_resid_post") for name in sites)
