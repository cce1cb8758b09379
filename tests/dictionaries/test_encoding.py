"""Latents against the libraries' formulas in float64, and in parts against all at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from and_nnsight.dictionaries import autoencoder
from and_nnsight.dictionaries.autoencoder import SparseAutoencoder
from and_nnsight.dictionaries.errors import DictionaryError
from and_nnsight.dictionaries.role import Dictionary, open_dictionary
from and_nnsight.dictionaries.rules import TopLatents
from and_nnsight.dictionaries.sae import open_sae
from tests import dictionaries_for_tests as write
from tests.dictionaries_for_tests import Written

WIDTH, LATENTS = 24, 240
CASES = [
    *(f"sae_lens/{kind}" for kind in write.SAE_LENS),
    *(f"sparsify/{kind}" for kind in write.SPARSIFY),
    *(f"dictionary_learning/{kind}" for kind in write.DICTIONARY_LEARNING),
    *(f"freud/{kind}" for kind in write.FREUD),
]


def _written(case: str, tmp_path: Path) -> Written:
    library, kind = case.split("/")
    path = tmp_path / ("last.pth" if library == "freud" else "dictionary")
    return getattr(write, library)(path / "last.pth" if library == "freud" else path, kind, WIDTH, LATENTS)


def _frames(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, WIDTH, generator=torch.Generator().manual_seed(seed)) * 2 + 0.5


def _opened(written: Written) -> SparseAutoencoder:
    assert isinstance(open_dictionary(f"sae:{written.path}"), Dictionary)
    return open_sae(str(written.path))


def _all(dictionary: Dictionary, frames: torch.Tensor) -> torch.Tensor:
    return torch.cat(list(dictionary.parts(frames)), -1)


@pytest.mark.parametrize("case", CASES)
def test_latents_are_those_of_the_formula(case: str, tmp_path: Path) -> None:
    written = _written(case, tmp_path)
    dictionary, frames = _opened(written), _frames(3, 17)
    expected = written.encode(frames.numpy())
    assert (expected != 0).any()
    assert (expected == 0).any()
    assert (dictionary.width, dictionary.latents) == (WIDTH, LATENTS)
    latents = _all(dictionary, frames)
    np.testing.assert_allclose(latents.numpy(), expected, atol=2e-5, rtol=1e-5)
    np.testing.assert_array_equal(latents.numpy() != 0, expected != 0)


@pytest.mark.parametrize("scaling", ["layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("b_dec", [True, False])
def test_frames_are_scaled_as_sae_lens_scales_them(scaling: str, b_dec: bool, tmp_path: Path) -> None:
    written = write.sae_lens(tmp_path / "sae", "topk", WIDTH, LATENTS, scaling=scaling, b_dec=b_dec)
    frames = _frames(20)
    latents = _all(_opened(written), frames)
    np.testing.assert_allclose(latents.numpy(), written.encode(frames.numpy()), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("values", [1, 17 * 64, 17 * 100])
def test_parts_change_nothing(case: str, values: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dictionary, frames = _opened(_written(case, tmp_path)), _frames(17, seed=1).round()
    whole = _all(dictionary, frames)
    monkeypatch.setattr(autoencoder, "PART_VALUES", values)
    parts = list(dictionary.parts(frames))
    assert len(parts) > 1
    latents = torch.cat(parts, -1)
    torch.testing.assert_close(latents, whole, rtol=1e-5, atol=1e-5)
    assert torch.equal(latents != 0, whole != 0)


@pytest.mark.parametrize("case", CASES)
def test_some_latents_are_those_of_all(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoencoder, "PART_VALUES", 6 * 64)
    dictionary, frames = _opened(_written(case, tmp_path)), _frames(2, 3)
    wanted = [200, 3, 3, 239, 0, 64]
    assert torch.equal(dictionary.encode(frames, wanted), _all(dictionary, frames)[..., wanted])
    assert dictionary.encode(frames, []).shape == (2, 3, 0)


def test_a_running_list_of_the_highest_keeps_exactly_k_though_latents_are_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write.sae_lens(tmp_path / "sae", "topk", WIDTH, LATENTS)
    dictionary = _opened(written)
    twins = torch.cat([dictionary.encoder[:120]] * 2)
    rule = TopLatents(torch.zeros(LATENTS), 6)
    twin = SparseAutoencoder("SAELens", twins, rule, None, None, "")
    monkeypatch.setattr(autoencoder, "PART_VALUES", 1)
    latents = _all(twin, _frames(50))
    assert ((latents != 0).sum(-1) == 6).all()


@pytest.mark.parametrize("case", CASES)
def test_a_frame_that_is_not_finite_spoils_itself_alone(case: str, tmp_path: Path) -> None:
    dictionary, frames = _opened(_written(case, tmp_path)), _frames(4)
    spoilt = frames.clone()
    spoilt[1, 0], spoilt[2, 3] = torch.nan, torch.inf
    latents = _all(dictionary, spoilt)
    assert latents[1:3].isnan().all()
    torch.testing.assert_close(latents[[0, 3]], _all(dictionary, frames)[[0, 3]])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_latents_are_float32_whatever_the_dtype_of_the_site(dtype: torch.dtype, tmp_path: Path) -> None:
    written = write.sae_lens(tmp_path / "sae", "jumprelu", WIDTH, LATENTS)
    frames = _frames(5).to(dtype)
    latents = _all(_opened(written), frames)
    assert latents.dtype == torch.float32
    np.testing.assert_allclose(latents.numpy(), written.encode(frames.double().numpy()), atol=5e-5, rtol=1e-5)


@pytest.mark.parametrize("scaling", ["none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("kind", ["standard", "topk rescaled", "gated"])
def test_a_change_of_latents_is_that_of_the_reconstruction(kind: str, scaling: str, tmp_path: Path) -> None:
    written = write.sae_lens(tmp_path / "sae", kind, WIDTH, LATENTS, scaling=scaling)
    dictionary, frames = _opened(written), _frames(9)
    latents = [4, 100, 7]
    changed = written.encode(frames.numpy())
    before = _reconstruction(written, kind, scaling, changed, frames.numpy())
    changed[:, latents] = changed[:, latents] * 3 + 1
    after = _reconstruction(written, kind, scaling, changed, frames.numpy())
    difference = dictionary.encode(frames, latents) * 2 + 1
    shifted = dictionary.shifted(frames, difference, latents).double().numpy()
    # x minus its reconstruction is what is not explained: it stays.
    np.testing.assert_allclose(shifted - after, frames.double().numpy() - before, atol=2e-3)


def _reconstruction(written: Written, kind: str, scaling: str, latents: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """SAELens's decode, in float64."""
    decoder = written.tensors["W_dec"]
    scale = np.linalg.norm(decoder, axis=1) if kind == "topk rescaled" else 1.0
    out = (latents / scale) @ decoder + written.tensors["b_dec"]
    frames = frames.astype(np.float64)
    if scaling == "layer_norm":
        centred = frames - frames.mean(-1, keepdims=True)
        return out * centred.std(-1, ddof=1, keepdims=True) + frames.mean(-1, keepdims=True)
    if scaling == "constant_norm_rescale":
        return out * np.linalg.norm(frames, axis=-1, keepdims=True) / np.sqrt(WIDTH)
    return out


def test_frames_of_which_no_latent_is_changed_stay_bit_for_bit(tmp_path: Path) -> None:
    dictionary = _opened(write.sparsify(tmp_path / "sae", "topk", WIDTH, LATENTS))
    frames = _frames(3, 4).bfloat16()
    assert torch.equal(dictionary.shifted(frames, torch.zeros(3, 4, 2), [5, 9]), frames)


def test_a_transcoder_is_encoded_and_never_changed(tmp_path: Path) -> None:
    dictionary = _opened(write.sparsify(tmp_path / "sae", "transcoder", WIDTH, LATENTS))
    with pytest.raises(DictionaryError, match="transcoder: it writes to another site"):
        dictionary.shifted(_frames(1), torch.ones(1, 1), [0])


def test_gradients_reach_the_site(tmp_path: Path) -> None:
    dictionary = _opened(write.sae_lens(tmp_path / "sae", "topk", WIDTH, LATENTS))
    frames = _frames(1).requires_grad_()
    unit = int(_all(dictionary, frames.detach())[0].argmax())
    dictionary.encode(frames, [unit]).sum().backward()
    assert frames.grad is not None
    torch.testing.assert_close(frames.grad[0], dictionary.encoder[unit])
