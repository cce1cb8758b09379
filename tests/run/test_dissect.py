"""dissect: equal to brute force on every family, whatever the batches, the sites or the pooling."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch

from and_nnsight import AudioModel, DissectionError, dissect
from tests.brute_force import assert_equal_to_brute_force, pooled_clips
from tests.families import FAMILIES, ast_extractor, save_ast
from tests.run.runs import made, quick
from tests.sounds_for_tests import RATE, click, ragged, wav_bytes

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_equal_to_brute_force_on_ragged_clips(name: str, tmp_path: Path) -> None:
    model = made(name)
    sites = model.sites()
    data = [item for item in ragged(7) if len(item["audio"]) >= 1600]
    found = quick(model, data, tmp_path / "run", sites="all", batch_size=4)
    from and_nnsight.audio.loading import to_waveform

    waves = {i: to_waveform(item["audio"], model.sampling_rate, source_rate=RATE) for i, item in enumerate(data)}
    assert_equal_to_brute_force(found, sites, pooled_clips(model, sites, waves))
    assert found.sites == tuple(site.name for site in sites)
    assert all(found[site.name].nonfinite == 0 for site in sites)


@pytest.mark.slow
def test_the_result_does_not_depend_on_batches_or_workers(tmp_path: Path) -> None:
    model, data = made(), ragged(9)
    one = quick(model, data, tmp_path / "one", batch_size=1, sites="all")
    for batch_size, workers in ((2, 0), (5, 1), (9, 0)):
        other = quick(model, data, tmp_path / f"{batch_size}", batch_size=batch_size, num_workers=workers, sites="all")
        assert other.clips == one.clips
        for site in one.sites:
            for side in ("top", "bottom"):
                left, right = getattr(one[site], side), getattr(other[site], side)
                torch.testing.assert_close(left.values, right.values, atol=1e-5, rtol=1e-5)
                assert (left.clips == right.clips).float().mean() > 0.99  # near-ties may fall either way
            torch.testing.assert_close(one[site].variance, other[site].variance, atol=1e-5, rtol=1e-4)


def test_the_folder_is_as_the_contract_says(tmp_path: Path) -> None:
    found = quick(made(), ragged(5), tmp_path / "run", sites="paper", label_column="label", caption_column="caption")
    assert sorted(path.name for path in found.folder.iterdir()) == [
        "clips.parquet",
        "manifest.json",
        "quarantine.jsonl",
        "sites",
    ]
    manifest = json.loads((found.folder / "manifest.json").read_text())
    assert {"format_version", "versions", "model", "dataset", "sites", "k", "pool", "dtype", "clips", "quarantined",
            "state"} <= set(manifest)  # fmt: skip
    assert manifest["state"] == "complete"
    table = parquet.read_table(found.folder / "clips.parquet")
    about = ["clip", "path", "label", "caption", "seconds", "sampling_rate"]
    assert table.column_names == [*about, "content", "silent", "tokens"]
    assert table["label"].to_pylist() == [f"label {i % 3}" for i in range(5)]
    from safetensors.torch import load_file

    tensors = load_file(found.folder / "sites" / "blocks.0.mlp.hook_pre.safetensors")
    kinds = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    assert kinds["top_values"] == (torch.float32, (3, 64))
    assert kinds["bottom_clips"] == (torch.int64, (3, 64))
    assert kinds["top_frames"] == (torch.int32, (3, 64))
    assert kinds["count"] == (torch.int64, ())
    assert all(kinds[name] == (torch.float32, (64,)) for name in ("mean", "variance", "active"))


def test_a_units_exemplars_say_where_they_are(tmp_path: Path) -> None:
    data = [
        {"audio": click(1.9, at), "sampling_rate": RATE, "label": f"{at}", "path": f"{at}.wav"}
        for at in (0.3, 0.9, 1.5)
    ]
    found = quick(made(), data, tmp_path / "run")
    site = found.sites[0]
    unit = found.unit(site, 7)
    values = [exemplar.activation for exemplar in unit.top]
    assert values == sorted(values, reverse=True)
    assert [exemplar.activation for exemplar in unit.bottom] == sorted(values)
    for exemplar in unit.top:
        assert exemplar.path == f"{exemplar.label}.wav"
        assert exemplar.start is not None and exemplar.end is not None
        assert 0 <= exemplar.start < exemplar.end <= 1.9
        assert exemplar.frame >= 2
    with pytest.raises(DissectionError, match="has units 0 to 63, not 64"):
        found.unit(site, 64)
    with pytest.raises(DissectionError, match="'nowhere' was not dissected; there are: blocks.0.mlp.hook_post"):
        found["nowhere"]


def test_fewer_clips_than_k(tmp_path: Path) -> None:
    found = quick(made(), ragged(2), tmp_path / "run", k=5)
    statistics = found[found.sites[0]]
    assert (statistics.top.clips[2:] == -1).all()
    assert len(found.unit(found.sites[0], 0).top) == 2


@pytest.mark.parametrize("pool", ["mean", "cls", "first", "last"])
def test_other_poolings(pool: str, tmp_path: Path) -> None:
    model, data = made(), ragged(4)
    found = quick(model, data, tmp_path / "run", pool=pool, sites="blocks.0.hook_resid_post")
    site = model.sites("blocks.0.hook_resid_post")[0]
    values = []
    for item in data:
        with torch.inference_mode(), model.trace(item["audio"]):
            read = model.read(site).save()
        frames = read[0]
        counts = torch.from_numpy(site.geometry.valid(np.array([len(item["audio"]) / RATE]), len(frames))[0])
        index = counts.nonzero()[:, 0]
        values.append(
            {"mean": frames[index].mean(0), "cls": frames[0], "first": frames[index[0]], "last": frames[index[-1]]}[
                pool
            ]
        )
    expected = torch.stack(values).sort(0, descending=True).values[:3]
    torch.testing.assert_close(found[site.name].top.values, expected, atol=1e-5, rtol=1e-5)
    exemplar = found.unit(site.name, 0).top[0]
    if pool in ("mean", "cls"):
        assert (exemplar.start, exemplar.end) == (0.0, found.clips[exemplar.clip].seconds)


def test_sites_named_by_module_path(tmp_path: Path) -> None:
    model = made()
    norm = model.sites("blocks.0.mlp.hook_pre")[0].path.replace("mlp.fc1", "layernorm_after")
    head = model.sites("unembed.hook_out")[0].path
    found = quick(model, ragged(3), tmp_path / "run", sites=[f"module:{norm}", f"module:{head}"])
    assert found.widths() == {f"module:{norm}": 32, f"module:{head}": 5}
    exemplar = found.unit(f"module:{norm}", 3).top[0]
    assert exemplar.start is not None, "frames like a block's have its seconds"
    assert found.unit(f"module:{head}", 1).top[0].start is None, "elsewhere nothing is known of them"


def test_sites_named_by_module_path_may_run_in_any_order(tmp_path: Path) -> None:
    model = made("whisper-encoder")
    paths = ["layers.0.self_attn.q_proj", "layers.0.self_attn.k_proj", "layers.0.self_attn_layer_norm", "layer_norm"]
    data = ragged(4)
    found = quick(model, data, tmp_path / "run", sites=[*(f"module:{path}" for path in paths), "all"])
    assert len(found.sites) == 4 + len(model.sites())
    assert found.sites[0] == "module:layers.0.self_attn_layer_norm"
    assert found.sites[-1] == "module:layer_norm"
    for unit in range(5):
        for exemplar in found.unit("module:layer_norm", unit).top:
            assert exemplar.end is not None and exemplar.end <= found.clips[exemplar.clip].seconds, "no padding"


def test_the_data_may_be_a_datasets_object(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")

    rows = [
        {"audio": {"bytes": wav_bytes(item["audio"]), "path": f"{i}.wav"}, "kind": i % 2}
        for i, item in enumerate(ragged(5))
    ]
    # Encoding sound with `datasets` needs a codec library; casting what is encoded already does not.
    mapped = datasets.Dataset.from_list(rows).cast_column("audio", datasets.Audio(sampling_rate=RATE, decode=False))
    mapped = mapped.cast_column("kind", datasets.ClassLabel(names=["calm", "wild"]))
    model = made()
    one = quick(model, mapped, tmp_path / "map", label_column="kind")
    two = quick(model, mapped.to_iterable_dataset(), tmp_path / "stream", label_column="kind")
    three = quick(model, ragged(5), tmp_path / "list")
    assert [row.label for row in one.clips.values()] == ["calm", "wild", "calm", "wild", "calm"]
    for site in one.sites:
        assert torch.equal(one[site].top.clips, two[site].top.clips)
        assert torch.equal(one[site].top.values, three[site].top.values)


def test_a_model_by_name_and_dtype(tmp_path: Path) -> None:
    save_ast(tmp_path / "model")
    found = dissect(
        str(tmp_path / "model"), ragged(3), out=tmp_path / "run", k=2, dtype="bfloat16", progress=False, device="cpu"
    )
    assert found.manifest.dtype == "bfloat16"
    assert found[found.sites[0]].top.values.dtype == torch.float32


def test_a_model_in_train_mode_is_run_in_eval_mode_and_left_as_it_was(tmp_path: Path) -> None:
    import transformers

    from tests.families import ast_config

    torch.manual_seed(0)
    module = transformers.ASTForAudioClassification(ast_config(hidden_dropout_prob=0.5))
    model = AudioModel(module, feature_extractor=ast_extractor())
    calm = quick(model, ragged(3), tmp_path / "eval")
    model.wrapped.train()
    again = quick(model, ragged(3), tmp_path / "train")
    assert model.wrapped.training
    for site in calm.sites:
        assert torch.equal(calm[site].top.values, again[site].top.values)


def test_units_whose_top_clips_tie_say_so(tmp_path: Path) -> None:
    model = made()
    with torch.no_grad():
        layer = model.wrapped.audio_spectrogram_transformer.layers[0].mlp.fc1
        layer.weight[5], layer.bias[5] = 0, -100
        layer.bias[6] = 3  # it is on
    found = quick(model, ragged(4), tmp_path / "run")
    assert not any(exemplar.telling for exemplar in found.unit("blocks.0.mlp.hook_post", 5).top)
    assert found.unit("blocks.0.mlp.hook_post", 5).top_shortfall == "4 clips share the value 0"
    assert found.unit("blocks.0.mlp.hook_post", 6).top[0].telling
