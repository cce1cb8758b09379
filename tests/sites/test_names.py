"""What stands for several sites, where a model is dissected and wherever a dissection is read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from and_nnsight import Dissection, dissect
from and_nnsight.cli._units import named_units
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.dissection.errors import DissectionError
from and_nnsight.explain.records.unit_selection import matching_sites
from and_nnsight.sites.names import PRESETS, matching_names
from and_nnsight.unlearn.prunable_sites import site_widths

NAMES = [
    "blocks.0.attn.hook_z", "blocks.0.attn.hook_z|heads", "blocks.0.mlp.hook_pre", "blocks.0.mlp.hook_post",
    "blocks.0.hook_mlp_out", "module:layers[0]", "unembed.hook_out",
]  # fmt: skip
CHOOSING: dict[str, Callable[[Dissection, str], list[str]]] = {
    "units that are explained": matching_sites,
    "units that are pruned": lambda dissection, pattern: list(site_widths(dissection, pattern)),
    "units of a command": lambda dissection, pattern: [
        site for site, _ in named_units(dissection.widths(), [f"{pattern}:0"])
    ],
}


@pytest.mark.parametrize(
    ("pattern", "places"),
    [
        ("all", range(7)), ("heads", [1]), ("default", [3]), ("paper", [2, 4, 6]), ("blocks.0.attn.*", [0, 1]),
        ("module:layers[0]", [5]), ("blocks.1.*", []),
    ],
)  # fmt: skip
def test_a_preset_a_glob_or_a_name_as_it_is(pattern: str, places: list[int]) -> None:
    assert matching_names(NAMES, pattern) == [NAMES[place] for place in places]


@pytest.fixture(scope="module")
def dissection(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    sites = ["blocks.*.attn.hook_z", "heads", "default"]
    out = tmp_path_factory.mktemp("names") / "run"
    return dissect(str(tiny_ast_path()), list(make_sounds(1))[:2], sites, 1, out=out, progress=False)


@pytest.mark.parametrize("preset", ["heads", "default", "all"])
@pytest.mark.parametrize("choosing", CHOOSING)
def test_what_was_dissected_by_a_preset_is_chosen_by_it(dissection: Dissection, choosing: str, preset: str) -> None:
    expected = [site for site in dissection.sites if site in matching_names(dissection.sites, preset)]
    assert len(expected) in (4, 12) and CHOOSING[choosing](dissection, preset) == expected


def test_a_preset_of_which_nothing_was_dissected_is_refused(dissection: Dissection) -> None:
    assert "paper" in PRESETS
    for choosing in (matching_sites, site_widths):
        with pytest.raises(DissectionError, match="no dissected site matches 'paper'; there are: blocks"):
            choosing(dissection, "paper")
