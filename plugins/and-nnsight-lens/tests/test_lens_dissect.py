"""`dissect` hears through a bridge's hooks what it hears through nnsight."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from and_nnsight import AudioModel, Dissection, SiteError, dissect
from and_nnsight.demo import make_sounds, tiny_ast_path
from bridges import SUPPORTED, audio_model, bridged, heard, native, points
from tests.brute_force import assert_equal_to_brute_force, pooled_clips
from tests.sounds_for_tests import RATE, ragged

from and_nnsight_lens import BridgedModel, HookedStatistics, to_transformer_lens

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")


def clips(count: int) -> list[Any]:
    return [item for item in ragged(count) if len(item["audio"]) >= 1600]


def quick(model: Any, data: Any, out: Path, **options: Any) -> Dissection:
    return dissect(model, data, out=out, **{"k": 3, "batch_size": 3, "progress": False, "sites": "all", **options})


@pytest.mark.parametrize("name", SUPPORTED)
def test_sites_and_hooks_bear_the_same_names_and_give_the_same_dissection(name: str, tmp_path: Path) -> None:
    model, bridge = audio_model(name), bridged(name)
    names = [site.name for site in model.sites()]
    assert [site.name for site in BridgedModel(bridge).sites()] == names
    assert set(names) <= set(bridge.hook_dict)
    through_nnsight = quick(model, clips(7), tmp_path / "nnsight")
    through_hooks = quick(bridge, clips(7), tmp_path / "hooks")
    assert through_hooks.sites == through_nnsight.sites
    for site in names:
        ours, theirs = through_hooks[site], through_nnsight[site]
        for side in ("top", "bottom"):
            for part in ("clips", "frames", "values"):
                assert torch.equal(getattr(getattr(ours, side), part), getattr(getattr(theirs, side), part)), site
        assert torch.equal(ours.mean, theirs.mean)
    there, here = (found.manifest.sites for found in (through_nnsight, through_hooks))
    assert [site.frames for site in there] == [site.frames for site in here]


@pytest.mark.parametrize("name", [name for name in SUPPORTED if not name.startswith("wavlm")])
def test_heads_through_a_bridge_are_heads_without(name: str, tmp_path: Path) -> None:
    """TransformerLens gives heads an axis of their own."""
    through_nnsight = quick(audio_model(name), clips(3), tmp_path / "nnsight", sites="heads")
    through_hooks = quick(bridged(name), clips(3), tmp_path / "hooks", sites="heads")
    assert through_hooks.sites == through_nnsight.sites
    for site in through_nnsight.sites:
        assert torch.equal(through_hooks[site].top.values, through_nnsight[site].top.values), site
        assert torch.equal(through_hooks[site].top.clips, through_nnsight[site].top.clips)


@pytest.mark.parametrize("name", ["ast", "hubert-post", "wav2vec2-ctc"])
def test_a_bridge_of_transformer_lens_s_own_can_be_dissected(name: str, tmp_path: Path) -> None:
    model, bridge = audio_model(name), native(name)
    bridge.processor = model.featuriser.extractor
    from and_nnsight.audio.loading import to_waveform

    waves = {i: to_waveform(item["audio"], model.sampling_rate, source_rate=RATE) for i, item in enumerate(clips(5))}
    dissection = quick(bridge, clips(5), tmp_path / "run")
    sites = model.sites()
    assert dissection.sites == tuple(site.name for site in sites)
    pooled = pooled_clips(model, sites, waves)
    # A random attention is nearly the same at all frames: which is highest hangs on the rounding of TransformerLens's.
    apart = [site for site in sites if not site.name.endswith("attn.hook_z")]
    assert_equal_to_brute_force(dissection, apart, pooled)
    for site in set(sites) - set(apart):
        means = np.mean([values for values, _ in pooled[site.name].values()], axis=0)
        np.testing.assert_allclose(dissection[site.name].mean.numpy(), means, atol=1e-5)


def test_a_run_resumes_is_told_from_other_runs_and_heeds_hooks_of_the_user(tmp_path: Path) -> None:
    bridge = bridged("ast")
    dissection = quick(bridge, clips(4), tmp_path / "run")
    assert quick(bridge, clips(4), tmp_path / "run").manifest == dissection.manifest
    assert dissection.manifest.model.class_name == "ASTForAudioClassification"
    assert dissection.manifest.model.more["through"].startswith("transformer-lens 4.")

    def silence(post: torch.Tensor, hook: Any) -> torch.Tensor:
        return post * 0

    bridge.add_hook("blocks.0.mlp.hook_post", silence)
    edited = quick(bridge, clips(4), tmp_path / "edited", sites=["blocks.0.hook_mlp_out", "blocks.1.hook_resid_post"])
    assert edited.manifest.model.edits == 1
    assert edited["blocks.0.hook_mlp_out"].variance.max() < 1e-12
    assert not torch.equal(edited["blocks.1.hook_resid_post"].mean, dissection["blocks.1.hook_resid_post"].mean)
    bridge.reset_hooks()
    assert BridgedModel(bridge).edits == 0


def test_modules_without_a_hook_are_heard_by_their_path(tmp_path: Path) -> None:
    for name in ("ast", "clap", "wavlm-post"):
        model, bridge = audio_model(name), bridged(name)
        inside = "audio_model." if name == "clap" else ""
        block = model.sites("blocks.1.hook_resid_post")[0].path
        paths = [f"module:{block}", "blocks.0.mlp.hook_post"]
        one = quick(model, clips(3), tmp_path / f"{name}-nnsight", sites=paths)
        two = quick(bridge, clips(3), tmp_path / f"{name}-hooks", sites=[p.replace(f":{inside}", ":") for p in paths])
        assert torch.equal(one[f"module:{block}"].top.values, two[two.sites[-1]].top.values)
    with pytest.raises(SiteError, match=r"no site matches 'blocks\.9\.mlp\.hook_post'"):
        BridgedModel(bridged("ast")).sites("blocks.9.mlp.hook_post")


def test_only_the_blocks_that_are_needed_run() -> None:
    bridge = bridged("ast")
    sound, _ = heard("ast")
    ran: list[str] = []
    for layer in (0, 1):
        bridge.add_hook(f"blocks.{layer}.hook_resid_post", lambda t, hook: ran.append(hook.name))
    model = BridgedModel(bridge)
    model.run(model.sites("blocks.0.mlp.hook_post"), {"input_values": sound}, lambda site, value: None)
    assert ran == ["blocks.0.hook_out"]


def test_bfloat16(tmp_path: Path) -> None:
    dissection = quick(bridged("ast"), clips(3), tmp_path / "run", dtype="bfloat16")
    assert dissection.manifest.dtype == "bfloat16"
    assert all(torch.isfinite(dissection[site].mean).all() for site in dissection.sites)


def test_a_model_by_name_goes_through_a_bridge(tmp_path: Path) -> None:
    sounds = list(make_sounds(per_class=1))[:4]
    dissection = quick(f"transformer-lens:{tiny_ast_path()}", sounds, tmp_path / "run")
    plain = quick(str(tiny_ast_path()), sounds, tmp_path / "plain")
    assert dissection.sites == plain.sites
    assert all(torch.equal(dissection[site].top.clips, plain[site].top.clips) for site in dissection.sites)


@pytest.mark.parametrize("name", ["ast", "wav2vec2-pre", "whisper", "clap"])
def test_hooks_in_a_loop_of_one_s_own(name: str, tmp_path: Path) -> None:
    model, bridge = audio_model(name), bridged(name)
    dissection = quick(model, clips(5), tmp_path / "run", batch_size=1)
    from and_nnsight.audio.loading import to_waveform

    kept = HookedStatistics(bridge, "all", k=3)
    for clip, item in enumerate(clips(5)):
        wave = to_waveform(item["audio"], model.sampling_rate, source_rate=RATE)
        features = model.features(wave)
        sound = features.pop(next(key for key in features if key.startswith("input_")))
        with torch.inference_mode(), kept.batch([clip], [len(wave) / model.sampling_rate]):
            bridge.run_with_hooks(sound, fwd_hooks=kept.fwd_hooks, return_type=None, **features)
    for site in dissection.sites:
        assert torch.equal(kept[site].top.clips, dissection[site].top.clips)
        assert torch.equal(kept[site].bottom.values, dissection[site].bottom.values)
        assert torch.equal(kept[site].variance, dissection[site].variance)
    assert kept[dissection.sites[0]].count == len(clips(5))
    frame = int(dissection[dissection.sites[0]].top.frames[0, 0])
    start, end = kept.seconds(dissection.sites[0], frame)
    assert 0 <= start < end


def test_a_loop_that_skips_a_hook_or_a_batch_is_told() -> None:
    bridge = bridged("ast")
    sound, _ = heard("ast")
    kept = HookedStatistics(bridge, k=2)
    with (
        pytest.raises(RuntimeError, match=r"1 of 2 sites did not fire: blocks\.1\.mlp\.hook_post"),
        kept.batch([0, 1], [1, 1]),
    ):
        bridge.run_with_hooks(sound, fwd_hooks=kept.fwd_hooks, stop_at_layer=1)
    with pytest.raises(RuntimeError, match="outside of a batch"):
        bridge.run_with_hooks(sound, fwd_hooks=kept.fwd_hooks)
    with pytest.raises(ValueError, match="came twice in one batch"), kept.batch([0, 1], [1, 1]):
        for _ in range(2):
            bridge.run_with_hooks(sound, fwd_hooks=kept.fwd_hooks)
    with pytest.raises(ValueError, match="3 clip ids, but lengths of 2"), kept.batch([0, 1, 2], [1, 1]):
        pass
    for ids in ([0], [0, 1, 2]):
        with pytest.raises(ValueError, match=rf"batch of 2 rows, but {len(ids)} clip"), kept.batch(ids, [1] * len(ids)):
            bridge.run_with_hooks(sound, fwd_hooks=kept.fwd_hooks)
    for ids, seconds, message in (
        ([-1, 0], [1, 1], "whole numbers from 0, not -1"),
        ([0, 1], [1, 0], r"above 0 and finite, not 0\.0"),
        ([0, 1], [1, float("nan")], "above 0 and finite, not nan"),
    ):
        with pytest.raises(ValueError, match=message), kept.batch(ids, seconds):
            pass
    with kept.batch(torch.tensor([0, 1]), torch.ones(2)):
        bridge.run_with_hooks(sound, fwd_hooks=kept.fwd_hooks)
    assert kept["blocks.0.mlp.hook_post"].count == 2
    with pytest.raises(KeyError, match="no statistics are kept of 'nowhere'"):
        kept["nowhere"]
    with pytest.raises(KeyError, match="no statistics are kept of 'nowhere'"):
        kept.seconds("nowhere", 0)
    with pytest.raises(SiteError, match="name at least one site"):
        HookedStatistics(bridge, [])


def test_nothing_is_remembered_of_the_tensors_that_pass() -> None:
    def remembered(bridge: Any) -> int:
        model = BridgedModel(bridge, audio_model("ast").featuriser.extractor)
        for _ in range(3):
            model.run(model.sites(), {"input_values": heard("ast")[0]}, lambda site, value: None)
        conversions = {id(p.hook_conversion): p.hook_conversion for p in points(bridge).values()}
        return sum(len(getattr(conversion, "_conversion_state", ())) for conversion in conversions.values())

    assert remembered(bridged("ast")) == 0
    assert remembered(native("ast")) > 0  # a note of every tensor that passes attn.hook_out


@pytest.mark.slow
def test_the_core_does_not_import_transformer_lens() -> None:
    code = (
        "import sys, warnings; warnings.simplefilter('ignore'); from and_nnsight import dissect;"
        "from and_nnsight.demo import make_sounds, tiny_ast_path; import tempfile;"
        "from and_nnsight import AudioModel;"
        "dissect(AudioModel(str(tiny_ast_path())), list(make_sounds(per_class=1))[:2], out=tempfile.mkdtemp()+'/r', progress=False);"
        "import transformers; dissect(transformers.ASTForAudioClassification.from_pretrained(str(tiny_ast_path())),"
        "list(make_sounds(per_class=1))[:2], out=tempfile.mkdtemp()+'/r', progress=False);"
        "print('transformer_lens' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"


def test_the_adapter_s_answer_to_a_loaded_bridge_is_the_whole_model(tmp_path: Path) -> None:
    bridge = to_transformer_lens(AudioModel(str(tiny_ast_path())))
    sounds = list(make_sounds(per_class=1))[:6]
    unit = dissect(bridge, sounds, k=2, out=tmp_path / "run", progress=False).unit("blocks.2.mlp.hook_post", 140)
    assert len(unit.top) == 2
    assert unit.top[0].caption
    assert np.isfinite(unit.top[0].activation)
