"""Which files are opened, and what is said of those that are not."""

from __future__ import annotations

import gc
import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from and_nnsight import plugins
from and_nnsight.dictionaries.errors import DictionaryError
from and_nnsight.dictionaries.sae import open_sae
from tests import dictionaries_for_tests as write

WIDTH, LATENTS = 8, 40


def test_a_dictionary_says_what_it_is_and_its_hash_is_that_of_its_files(tmp_path: Path) -> None:
    path = write.sae_lens(tmp_path / "sae", "topk", WIDTH, LATENTS, k=5).path
    described = dict(open_sae(str(path)).describe())
    assert described.pop("hash")
    assert described == {"library": "SAELens", "kind": "topk of 5", "width": WIDTH}
    kinds = {
        kind: open_sae(str(write.dictionary_learning(tmp_path / kind, kind, WIDTH, LATENTS).path)).describe()["kind"]
        for kind in write.DICTIONARY_LEARNING
    }
    assert list(kinds.values()) == ["standard", "standard", "gated", "jumprelu", "topk of 3", "batchtopk", "batchtopk"]


def test_a_file_of_a_folder_names_the_folder(tmp_path: Path) -> None:
    path = write.dictionary_learning(tmp_path / "ae", "AutoEncoderTopK", WIDTH, LATENTS).path
    assert open_sae(str(path / "ae.pt")).describe() == open_sae(str(path)).describe()


def test_safetensors_and_a_state_dict_of_the_same_numbers_encode_alike(tmp_path: Path) -> None:
    one, other = (
        open_sae(str(write.dictionary_learning(tmp_path / str(safe), "AutoEncoder", WIDTH, LATENTS, safe=safe).path))
        for safe in (True, False)
    )
    frames = torch.randn(5, WIDTH)
    assert torch.equal(one.encode(frames, range(LATENTS)), other.encode(frames, range(LATENTS)))


def test_directions_of_length_one_are_not_scaled_again(tmp_path: Path) -> None:
    path = write.dictionary_learning(tmp_path / "ae", "AutoEncoder", WIDTH, LATENTS, safe=True).path
    tensors = load_file(path / "ae.safetensors")
    tensors["decoder.weight"] = tensors["decoder.weight"] / tensors["decoder.weight"].norm(dim=0)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path / "ae.safetensors")
    assert open_sae(str(path)).scale is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_files_of_half_precision_are_computed_with_in_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    path = write.sae_lens(tmp_path / "sae", "jumprelu", WIDTH, LATENTS).path
    tensors = {name: tensor.to(dtype) for name, tensor in load_file(path / "sae_weights.safetensors").items()}
    save_file(tensors, path / "sae_weights.safetensors")
    dictionary = open_sae(str(path))
    assert dictionary.encoder.dtype == torch.float32
    assert torch.equal(dictionary.encoder, tensors["W_enc"].T.float())


def test_a_dictionary_that_is_held_is_not_read_again_unless_its_files_change(tmp_path: Path) -> None:
    path = write.sae_lens(tmp_path / "sae", "standard", WIDTH, LATENTS).path
    one = open_sae(str(path))
    assert open_sae(str(path)) is one
    shutil.rmtree(path)
    write.sae_lens(path, "gated", WIDTH, LATENTS)
    other = open_sae(str(path))
    assert other.describe()["kind"] == "gated"
    assert other.hash != one.hash
    del one, other
    gc.collect()


@pytest.mark.parametrize("architecture", ["matching_pursuit", "temporal", "transcoder", "unheard_of"])
def test_an_unknown_architecture_names_those_that_are_known(architecture: str, tmp_path: Path) -> None:
    path = write.sae_lens(tmp_path / "sae", "standard", WIDTH, LATENTS).path
    _settings(path / "cfg.json", architecture=architecture)
    with pytest.raises(DictionaryError, match=f"architecture '{architecture}', which is not known here.*jumprelu"):
        open_sae(str(path))


def test_what_cannot_be_encoded_from_the_files_alone_says_what_to_do(tmp_path: Path) -> None:
    path = write.sae_lens(tmp_path / "sae", "standard", WIDTH, LATENTS).path
    _settings(path / "cfg.json", normalize_activations="expected_average_only_in")
    with pytest.raises(DictionaryError, match="fold them into the weights"):
        open_sae(str(path))
    _settings(path / "cfg.json", normalize_activations="none", architecture="batchtopk")
    with pytest.raises(DictionaryError, match="save_inference_model"):
        open_sae(str(path))
    _settings(path / "cfg.json", architecture="standard", finetuning_scaling_factor=True)
    with pytest.raises(DictionaryError, match="fold it into W_dec"):
        open_sae(str(path))


def _settings(path: Path, **changed: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changed), encoding="utf-8")


def test_a_missing_place_or_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DictionaryError, match="there is no file or folder .*nowhere"):
        open_sae(str(tmp_path / "nowhere"))
    path = write.sparsify(tmp_path / "sae", "topk", WIDTH, LATENTS).path
    (path / "cfg.json").unlink()
    with pytest.raises(DictionaryError, match=r"there is no file .*cfg\.json.*not whole"):
        open_sae(str(path))


def test_a_folder_of_several_dictionaries_names_them(tmp_path: Path) -> None:
    for layer in ("layers.0", "layers.1"):
        write.sparsify(tmp_path / layer, "topk", WIDTH, LATENTS)
    with pytest.raises(DictionaryError, match=r"several dictionaries: name one of layers\.0, layers\.1"):
        open_sae(str(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DictionaryError, match="holds no dictionary that is known here"):
        open_sae(str(tmp_path / "empty"))


class Harmful:
    """Something that a pickle would run."""

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (Path("harm-was-done"),)


def test_pickles_are_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write.dictionary_learning(tmp_path / "ae", "AutoEncoderTopK", WIDTH, LATENTS).path
    torch.save({"encoder.weight": torch.zeros(2, 2), "more": Harmful()}, path / "ae.pt")
    (tmp_path / "sae.pkl").write_bytes(pickle.dumps(Harmful()))
    (tmp_path / "sae.pth").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(DictionaryError, match=r"ae\.pt holds pickled objects.*save_file"):
        open_sae(str(path))
    with pytest.raises(DictionaryError, match=r"sae\.pkl is a pickle"):
        open_sae("sae.pkl")
    with pytest.raises(DictionaryError, match=r"sae\.pth holds pickled objects|sae\.pth cannot be read"):
        open_sae("sae.pth")
    assert not (tmp_path / "harm-was-done").exists()


def test_damaged_files_and_other_shapes_are_named(tmp_path: Path) -> None:
    path = write.sae_lens(tmp_path / "sae", "standard", WIDTH, LATENTS).path
    weights = path / "sae_weights.safetensors"
    tensors = load_file(weights)
    save_file({**tensors, "b_enc": torch.zeros(3)}, weights)
    with pytest.raises(DictionaryError, match=r"'b_enc' .* shape \[3\], and it should be numbers of shape \[40\]"):
        open_sae(str(path))
    save_file({name: each for name, each in tensors.items() if name != "b_dec"}, weights)
    with pytest.raises(DictionaryError, match="has no 'b_dec'.*it has W_dec, W_enc, b_enc"):
        open_sae(str(path))
    save_file({**tensors, "W_dec": torch.zeros(LATENTS, WIDTH + 1)}, weights)
    with pytest.raises(DictionaryError, match="W_enc and W_dec .* do not fit each other"):
        open_sae(str(path))
    weights.write_bytes(b"no tensors at all")
    with pytest.raises(DictionaryError, match="cannot be read .*it is damaged, or of another kind"):
        open_sae(str(path))
    _settings(path / "cfg.json", architecture="topk", k=0)
    save_file(tensors, weights)
    with pytest.raises(DictionaryError, match=r"'k' in .*cfg\.json is 0"):
        open_sae(str(path))
    (path / "cfg.json").write_text("[1, 2", encoding="utf-8")
    with pytest.raises(DictionaryError, match=r"cfg\.json cannot be read"):
        open_sae(str(path))


def test_the_role_lists_it_and_names_the_errors_as_they_are(tmp_path: Path) -> None:
    listed = {plugin.name: plugin for plugin in plugins.installed() if plugin.role == "dictionary"}
    assert listed["sae"].broken is None
    with pytest.raises(DictionaryError, match="^there is no file or folder"):
        plugins.make("dictionary", f"sae:{tmp_path / 'nowhere'}")
    with pytest.raises(plugins.PluginError, match="unknown dictionary 'sea:x': installed are sae"):
        plugins.make("dictionary", "sea:x")
    with pytest.raises(plugins.PluginError, match="needs more: sae:PATH"):
        plugins.make("dictionary", "sae")
