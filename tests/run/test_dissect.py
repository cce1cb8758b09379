"""dissect: equal to brute force on every family, resumable, and clear about what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch

from and_nnsight import AudioModel, Dissection, DissectionError, SiteError, dissect
from and_nnsight.run import session as running
from and_nnsight.run.folder import RunFolder
from tests.brute_force import assert_equal_to_brute_force, pooled_clips
from tests.damaged import write_damaged_folder
from tests.families import FAMILIES, ast_extractor
from tests.sounds_for_tests import RATE, click, noise, ragged

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")


def made(name: str = "ast") -> AudioModel:
    family = FAMILIES[name]
    return AudioModel(family.build(), feature_extractor=family.extractor())


def quick(model: AudioModel, data: Any, out: Path, **options: Any) -> Dissection:
    return dissect(model, data, out=out, **{"k": 3, "progress": False, **options})


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("name", FAMILIES)
def test_equal_to_brute_force_on_ragged_clips(name: str, tmp_path: Path) -> None:
    model = made(name)
    sites = model.sites()
    data = [item for item in ragged(7) if len(item["audio"]) >= 1600]  # type: ignore[arg-type]
    found = quick(model, data, tmp_path / "run", sites="all", batch_size=4)
    from and_nnsight.audio.loading import to_waveform

    waves = {i: to_waveform(item["audio"], model.sampling_rate, source_rate=RATE) for i, item in enumerate(data)}
    assert_equal_to_brute_force(found, sites, pooled_clips(model, sites, waves))
    assert found.sites == tuple(site.name for site in sites)
    assert all(found[site.name].nonfinite == 0 for site in sites)


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
    assert table.column_names == ["clip", "path", "label", "caption", "seconds", "sampling_rate", "content", "silent"]
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
        counts = torch.from_numpy(site.geometry.valid(np.array([len(item["audio"]) / RATE]), len(frames))[0])  # type: ignore[arg-type]
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


def test_pool_cls_needs_a_special_token(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="pool='cls' needs a special token"):
        quick(made("whisper-encoder"), ragged(2), tmp_path / "run", pool="cls")
    assert not (tmp_path / "run").exists()


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


def test_a_module_that_never_runs_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="did not fire: module:wavlm.encoder.layers.0.attention.out_proj"):
        quick(made("wavlm-post"), ragged(2), tmp_path / "run", sites="module:wavlm.encoder.layers.0.attention.out_proj")
    assert not (tmp_path / "run").exists()


def test_tokens_in_windows_have_no_first_or_last(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="pool='last': the tokens of 'blocks.0.hook_attn_out' stand in windows"):
        quick(made("clap-audio"), ragged(2), tmp_path / "run", pool="last", sites="blocks.0.hook_attn_out")


def test_the_same_call_again_returns_the_dissection_untouched(tmp_path: Path) -> None:
    model, data, out = made(), ragged(4), tmp_path / "run"
    quick(model, data, out)
    before = files(out)
    assert quick(model, data, out)["blocks.0.mlp.hook_post"].count == 4
    assert files(out) == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"k": 4}, "k is 3 there, 4 here"),
        ({"pool": "mean"}, "pool is max there, mean here"),
        ({"sites": "all"}, "2 sites there, 11 here"),
        ({"limit": 2}, "dataset limit is None there, 2 here"),
        ({"resume": False}, "already holds a dissection"),
    ],
)
def test_a_folder_of_another_run_is_refused_untouched(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    model, data, out = made(), ragged(4), tmp_path / "run"
    quick(model, data, out)
    before = files(out)
    with pytest.raises(DissectionError, match=f"{reason}.*(choose a )?new folder"):
        quick(model, data, out, **change)
    assert files(out) == before


def test_other_weights_or_other_data_are_another_run(tmp_path: Path) -> None:
    out = tmp_path / "run"
    quick(made(), ragged(4), out)
    other = made()
    with torch.no_grad():
        other.wrapped.audio_spectrogram_transformer.layers[1].mlp.fc2.weight[:, 7] = 0  # one unit ablated
    with pytest.raises(DissectionError, match="other model weights"):
        quick(other, ragged(4), out)
    with pytest.raises(DissectionError, match="another dataset fingerprint"):
        quick(made(), ragged(5), out)
    with pytest.raises(DissectionError, match="other model features"):
        extractor = ast_extractor()
        extractor.mean += 1
        quick(AudioModel(FAMILIES["ast"].build(), feature_extractor=extractor), ragged(4), out)
    with pytest.raises(DissectionError, match="model class is ASTForAudioClassification there, WhisperEncoder here"):
        quick(made("whisper-encoder"), ragged(4), out)


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DissectionError, match=r"holds other files \(\['thesis.txt'\]\): choose a new folder"):
        quick(made(), ragged(2), tmp_path)
    assert files(tmp_path) == {"thesis.txt": b"mine"}


class StopsAfter:
    """A sequence of clips that raises once, on the way to clip `at`."""

    def __init__(self, data: list[Any], at: int, error: type[BaseException]) -> None:
        self.data, self.at, self.error = data, at, error

    def __iter__(self) -> Iterator[Any]:
        for index, item in enumerate(self.data):
            if index == self.at:
                raise self.error
            yield item


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_run_resumes_to_equal_files(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = made(), ragged(11)
    whole = quick(model, iter(data), tmp_path / "whole", batch_size=2)
    monkeypatch.setattr("and_nnsight.run.session.CHECKPOINT_SECONDS", 0.0 if error is OSError else 1e9)
    out = tmp_path / "run"
    with pytest.raises(error):
        quick(model, iter(StopsAfter(data, 7, error)), out, batch_size=2)
    with pytest.raises(DissectionError, match="is not complete: call dissect again"):
        Dissection.load(out)
    heard: list[int] = []
    original = AudioModel.trace

    def counted(self: AudioModel, features: Any, **options: Any) -> Any:
        heard.append(len(features["input_values"]))
        return original(self, features, **options)

    monkeypatch.setattr(AudioModel, "trace", counted)
    quick(model, iter(data), out, resume="trust", batch_size=2)
    assert sum(heard) == 11 - 6, "what was done is not done again"
    assert files(out) == files(whole.folder)


@pytest.mark.parametrize(
    ("owner", "name", "last"),
    [(AudioModel, "run", 4), (RunFolder, "saw", 2)],
    ids=["between the traces of the second batch", "at the end of the second batch"],
)
def test_a_run_that_is_interrupted_within_a_batch_counts_none_of_its_clips(
    owner: Any, name: str, last: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clips of one length run together: some of a batch are in the statistics when the rest is not."""
    model = made("wav2vec2-post")
    data = [noise(seconds, seed=index) for index, seconds in enumerate([0.5, 0.5, 0.7] * 3)]
    whole = quick(model, data, tmp_path / "whole", batch_size=3)
    original, calls = getattr(owner, name), 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == last:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            quick(model, data, tmp_path / "run", batch_size=3)
    assert calls == last
    resumed = quick(model, data, tmp_path / "run", batch_size=3)
    assert resumed[resumed.sites[0]].count == len(resumed.clips) == 9
    assert files(resumed.folder) == files(whole.folder)


def test_clips_longer_than_the_model_hears_count_with_their_beginnings_and_are_said(tmp_path: Path) -> None:
    model = made()
    window = model.featuriser.window_seconds
    assert window is not None
    data = [noise(window + more, seed=index) for index, more in enumerate([0.0, 0.5, -0.5, 1.0])]
    with pytest.raises(KeyboardInterrupt):
        quick(model, iter(StopsAfter(data, 2, KeyboardInterrupt)), tmp_path / "run", batch_size=1)
    said = f"2 clips are longer than the {window:g} s that the model hears: their beginnings counted"
    with pytest.warns(UserWarning, match=said):
        found = quick(model, iter(data), tmp_path / "run", batch_size=1, resume="trust")
    assert found.manifest.truncated == 2
    cut = quick(model, [wave[: round(window * RATE)] for wave in data], tmp_path / "cut", batch_size=1)
    assert cut.manifest.truncated == 0
    for site in found.sites:
        assert torch.equal(found[site].top.values, cut[site].top.values)
        assert torch.equal(found[site].top.clips, cut[site].top.clips)


def test_a_checkpoint_is_made_when_many_rows_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little time has gone by: they are held in memory."""
    monkeypatch.setattr(running, "CHECKPOINT_SECONDS", 1e9)
    monkeypatch.setattr(running, "CHECKPOINT_ROWS", 3)
    made_at, original = [], RunFolder.checkpoint

    def noted(self: RunFolder, *arguments: Any) -> None:
        made_at.append(self.position)
        original(self, *arguments)

    monkeypatch.setattr(RunFolder, "checkpoint", noted)
    quick(made(), ragged(10), tmp_path / "run", batch_size=2)
    assert made_at == [4, 8, 10]  # the last as the run is finished


def test_a_run_may_resume_with_another_batch_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = made(), ragged(9)
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        quick(model, iter(StopsAfter(data, 6, KeyboardInterrupt)), out, batch_size=3)
    resumed = quick(model, iter(data), out, resume="trust", batch_size=4)
    whole = quick(model, iter(data), tmp_path / "whole", batch_size=3)
    assert resumed[whole.sites[0]].count == 9
    torch.testing.assert_close(resumed[whole.sites[0]].top.values, whole[whole.sites[0]].top.values)


def test_data_that_cannot_be_recognised_is_not_mixed_unless_the_caller_vouches_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data, out = made(), ragged(6), tmp_path / "run"
    monkeypatch.setattr("and_nnsight.run.session.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        quick(model, iter(StopsAfter(data, 4, KeyboardInterrupt)), out, batch_size=2)
    said = 'holds a dissection of data that cannot be recognised .*choose a new folder, or.*pass resume="trust"'
    for _ in range(2):  # while it is not complete, and when it is
        before = files(out)
        with pytest.raises(DissectionError, match=said):
            quick(model, iter(ragged(6)[::-1]), out, batch_size=2)
        assert files(out) == before
        quick(model, iter(data), out, batch_size=2, resume="trust")
    with pytest.raises(DissectionError, match="already holds a dissection"):
        quick(model, iter(data), out, resume=False)
    with pytest.raises(ValueError, match="resume must be True, False or 'trust', not 'yes'"):
        quick(model, iter(data), out, resume="yes")


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path) -> None:
    model, out = made(), tmp_path / "run"

    def clips() -> Iterator[np.ndarray]:
        yield noise(1.0)
        with pytest.raises(DissectionError, match="another process is writing to"):
            quick(model, iter([noise(1.0)]), out, resume="trust")
        yield noise(1.0, seed=1)

    assert quick(model, clips(), out)["blocks.0.mlp.hook_post"].count == 2


def test_damaged_audio_is_set_aside_and_the_rest_is_exact(tmp_path: Path) -> None:
    expected = write_damaged_folder(tmp_path / "audio")
    model = made()
    with pytest.warns(UserWarning, match="longer than the .* s that the model hears"):
        found = quick(model, tmp_path / "audio", tmp_path / "run", batch_size=3, sites="all")
    reasons = {Path(row.path).name: row.reason for row in found.quarantine}
    bad = {name: word for name, word in expected.items() if word is not None}
    assert set(reasons) == {Path(name).name for name in bad}
    for name, word in bad.items():
        assert word in reasons[Path(name).name], (name, reasons[Path(name).name])
    healthy = {Path(row.path).name for row in found.clips.values()}
    assert healthy == {Path(name).name for name, word in expected.items() if word is None}
    assert found.manifest.quarantined == len(bad)
    from and_nnsight.audio.loading import to_waveform

    sites = model.sites()
    waves = {clip: to_waveform(row.path, RATE) for clip, row in found.clips.items()}
    assert_equal_to_brute_force(found, sites, pooled_clips(model, sites, waves), tolerance=2e-5)


def test_if_every_clip_fails_the_run_stops_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(DissectionError, match="none of the 2 clips can be used; the first, 0: "):
        quick(made(), [b"no", b"sound"], tmp_path / "run")
    assert len((tmp_path / "run" / "quarantine.jsonl").read_text().splitlines()) == 2
    with pytest.raises(DissectionError, match="the data holds no clip"):
        quick(made(), [], tmp_path / "none")


def test_nonfinite_activations_are_counted_and_left_out(tmp_path: Path) -> None:
    model = made()
    with torch.no_grad():
        model.wrapped.audio_spectrogram_transformer.layers[0].mlp.fc1.bias[3] = torch.nan
    with pytest.warns(UserWarning, match="activations at 2 sites, blocks.0.mlp.hook_pre first, were NaN or infinite"):
        found = quick(model, ragged(3), tmp_path / "run", sites="blocks.0.mlp.*")
    statistics = found["blocks.0.mlp.hook_pre"]
    assert statistics.nonfinite > 0
    assert statistics.finite[3] == 0
    assert statistics.finite[4] == 3
    assert statistics.mean[3].isnan()
    assert found.unit("blocks.0.mlp.hook_pre", 3).top == ()


def test_the_data_may_be_a_datasets_object(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    from tests.model.test_audio_model import wav_bytes

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


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"k": 0}, "k must be a whole number of at least 1"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"pool": "median"}, "unknown pooling 'median': one of max"),
        ({"dtype": "int3"}, "unknown dtype 'int3'"),
        ({"sites": []}, "no site was asked for"),
        ({"remote": True}, "a server loads a model by its name"),
        ({"remote": "nowhere"}, "'nowhere' is no server: give http"),
        ({"remote": "local", "device": "cpu"}, "device and dtype are the server's to choose"),
        ({"remote": "local", "keep_activations": True}, "need every clip's values: run those without remote="),
    ],
)
def test_wrong_arguments_are_said_before_anything_is_written(
    options: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=reason):
        quick(made(), ragged(2), tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_model_by_name_and_dtype(tmp_path: Path) -> None:
    FAMILIES["ast"].build().save_pretrained(tmp_path / "model")  # type: ignore[operator]
    ast_extractor().save_pretrained(tmp_path / "model")
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


def test_an_edited_model_is_another_run(tmp_path: Path) -> None:
    model, out = made(), tmp_path / "run"
    plain = quick(model, ragged(3), out)
    with model.edit() as (_, edited):
        edited.site("blocks.0.mlp.hook_post")[:, :, 3] = 0
    with pytest.raises(DissectionError, match="model edits is 0 there, 1 here"):
        quick(edited, ragged(3), out)
    ablated = quick(edited, ragged(3), tmp_path / "edited")
    assert not torch.equal(plain["blocks.1.mlp.hook_post"].mean, ablated["blocks.1.mlp.hook_post"].mean)
    with pytest.raises(
        DissectionError, match="a model with edits, hooks, replaced forwards or functions, which cannot be"
    ):
        quick(edited, ragged(3), tmp_path / "edited")
    assert quick(edited, ragged(3), tmp_path / "edited", resume="trust").clips == ablated.clips


def test_a_device_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    for device in ("cuda:99", "gramophone"):
        with pytest.raises(ValueError, match=f"device '{device}' cannot be used here"):
            quick(made(), ragged(2), tmp_path / "run", device=device)


def test_a_folder_that_lacks_files_is_damaged(tmp_path: Path) -> None:
    found = quick(made(), ragged(3), tmp_path / "run")
    (found.folder / "sites" / "blocks.1.mlp.hook_post.safetensors").unlink()
    with pytest.raises(DissectionError, match=r"is damaged: it lacks sites/blocks.1.mlp.hook_post.safetensors"):
        quick(made(), ragged(3), tmp_path / "run")


@pytest.mark.parametrize("version", [1, 2, 4, "3", None])
def test_a_folder_of_another_format_is_refused_untouched(version: Any, tmp_path: Path) -> None:
    found = quick(made(), ragged(2), tmp_path / "run")
    path = found.folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": version}))
    before = files(found.folder)
    said = f"has format version {version}; this package reads version 3"
    with pytest.raises(DissectionError, match=said):
        Dissection.load(found.folder)
    with pytest.raises(DissectionError, match=said):
        quick(made(), ragged(2), tmp_path / "run")
    assert files(found.folder) == before


def test_out_may_not_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(DissectionError, match="notes is a file: choose a folder"):
        quick(made(), ragged(2), tmp_path / "notes")


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


def test_out_may_hold_a_colon_or_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert quick(made(), ragged(2), tmp_path / "a:b" / "c").clips[1].label == "label 1"
    quick(made(), ragged(2), Path("~/run"))
    assert (tmp_path / "run" / "clips.parquet").exists()
    assert len(Dissection.load("~/run").clips) == 2


def test_file_names_need_not_be_utf8(tmp_path: Path) -> None:
    import os

    from tests.model.test_audio_model import wav_bytes

    (tmp_path / "audio").mkdir()
    with open(os.fsencode(tmp_path / "audio") + b"/bad\xff.wav", "wb") as file:  # noqa: PTH123
        file.write(wav_bytes(noise(0.5)))
    found = quick(made(), tmp_path / "audio", tmp_path / "run")
    assert found.clips[0].path.endswith("bad\\xff.wav")


def test_leftovers_of_a_process_killed_at_its_last_step_are_cleared(tmp_path: Path) -> None:
    found = quick(made(), ragged(2), tmp_path / "run")
    before = files(found.folder)
    (found.folder / "progress").mkdir()
    (found.folder / "progress" / "state.safetensors").write_bytes(b"old")
    quick(made(), ragged(2), tmp_path / "run")
    assert files(found.folder) == before
