"""Encoders on their way up: the same bits there, in as few bytes as lose nothing, and which do not go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from and_nnsight.dictionaries.autoencoder import SparseAutoencoder
from and_nnsight.dictionaries.role import Dictionary
from and_nnsight.dictionaries.sae import open_sae
from and_nnsight.kernels.latents import latent_parts
from and_nnsight.remote.encoders import as_served, encoder_bytes, pack_encoders
from and_nnsight.remote.on_server import _encoders
from and_nnsight.sites.geometry import Geometry
from and_nnsight.sites.site import Site, SiteError
from tests import dictionaries_for_tests as write

WIDTH, LATENTS = 24, 240
BASE = Site("blocks.0.hook_resid_post", "layers.0", "output", WIDTH, 0, Geometry())
ENOUGH = 10**9


def _site(path: Path, dictionary: Dictionary | None = None) -> Site:
    return BASE.through(f"sae:{path}", dictionary or open_sae(str(path)))


MADE: dict[str, Callable[[Path], Any]] = {
    **{kind: lambda path, kind=kind: write.sae_lens(path, kind, WIDTH, LATENTS) for kind in write.SAE_LENS},
    **{kind: lambda path, kind=kind: write.sparsify(path, kind, WIDTH, LATENTS) for kind in write.SPARSIFY},
    "layer norm": lambda path: write.sae_lens(path, "gated", WIDTH, LATENTS, scaling="layer_norm"),
}


@pytest.mark.parametrize("kind", MADE)
def test_what_comes_out_at_the_server_is_what_comes_out_here(kind: str, tmp_path: Path) -> None:
    site = _site(MADE[kind](tmp_path / "sae").path)
    assert isinstance(site.dictionary, SparseAutoencoder)
    (encoder,) = _encoders(pack_encoders([BASE, site], ENOUGH)).values()
    frames = torch.randn(30, WIDTH, generator=torch.Generator().manual_seed(0)) * 2
    there = torch.cat([part for _, part in latent_parts(frames, encoder)], 1)
    assert torch.equal(there, torch.cat(list(site.dictionary.parts(frames)), 1))
    assert (there != 0).any()


def test_a_file_of_16_bits_goes_up_as_16_bits(tmp_path: Path) -> None:
    wide = write.sae_lens(tmp_path / "wide", "standard", WIDTH, LATENTS).path
    narrow = write.sae_lens(tmp_path / "narrow", "standard", WIDTH, LATENTS).path
    tensors = load_file(narrow / "sae_weights.safetensors")
    save_file({name: value.bfloat16() for name, value in tensors.items()}, narrow / "sae_weights.safetensors")
    sizes = [encoder_bytes(pack_encoders([_site(path)], ENOUGH)) for path in (wide, narrow)]
    assert sizes == [4 * (LATENTS * WIDTH + LATENTS + WIDTH), 2 * (LATENTS * WIDTH + LATENTS + WIDTH)]


def test_one_dictionary_on_two_sites_goes_up_once_and_no_decoder_nor_path_goes(tmp_path: Path) -> None:
    path = write.sae_lens(tmp_path / "sae", "topk", WIDTH, LATENTS).path
    one, other = _site(path), Site("blocks.1.hook_resid_post", "layers.1", "output", WIDTH, 1, Geometry())
    packed = pack_encoders([one, other.through(f"sae:{path}", open_sae(str(path)))], ENOUGH)
    assert len(packed) == 2
    assert encoder_bytes(packed) == 4 * (LATENTS * WIDTH + LATENTS + WIDTH)
    assert str(tmp_path) not in repr((list(packed), as_served(one)))


def test_encoders_that_are_too_large_together_are_refused(tmp_path: Path) -> None:
    sites = [_site(write.sae_lens(tmp_path / kind, kind, WIDTH, LATENTS).path) for kind in ("topk", "standard")]
    size = encoder_bytes(pack_encoders(sites, ENOUGH))
    pack_encoders(sites, size)
    with pytest.raises(SiteError, match=r"standard': encoders travel with every job, with this one 0.05 MB, and at"):
        pack_encoders(sites, size - 1)


class OwnDictionary:
    """A plugin's: what it does is its own code."""

    width, latents = WIDTH, WIDTH

    def describe(self) -> Mapping[str, Any]:
        return {"library": "mine", "kind": "own", "hash": "1"}

    def parts(self, activations: torch.Tensor) -> Iterator[torch.Tensor]:
        yield activations

    def encode(self, activations: torch.Tensor, latents: Sequence[int]) -> torch.Tensor:
        return activations[..., list(latents)]

    def shifted(self, activations: torch.Tensor, difference: torch.Tensor, latents: Sequence[int]) -> torch.Tensor:
        return activations


def test_code_of_this_machine_does_not_go(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="makes its latents is code on this machine, which no server has: leave remote"):
        pack_encoders([_site(tmp_path, OwnDictionary())], ENOUGH)
