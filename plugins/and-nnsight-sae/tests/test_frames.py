"""The frames that are trained on are those of the model that carry audio, of clips that are not held out, and no other."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from and_nnsight import AudioModel
from and_nnsight.data.items import Clip
from and_nnsight.sites.site import frame_mask
from small_training import OPTIONS, SITE

from and_nnsight_sae import TrainingError, frames, train_sae
from and_nnsight_sae.split import HeldOut


def by_hand(model: AudioModel, path: Path) -> np.ndarray:
    """The frames of one clip that carry audio: a plain hook, and the clip's own length."""
    waveform, rate = soundfile.read(path, dtype="float32")
    (site,) = model.sites(SITE)
    taken: list[torch.Tensor] = []
    module = model.wrapped.get_submodule(site.path)
    hook = module.register_forward_hook(lambda *a: taken.append(a[-1][0] if isinstance(a[-1], tuple) else a[-1]))
    with torch.no_grad():
        model.wrapped(**model.features(waveform, rate))
    hook.remove()
    (value,) = taken
    return value[0][frame_mask(site, [len(waveform) / rate], value.shape[1])[0]].numpy()


def rows(array: np.ndarray) -> set[bytes]:
    return {np.round(row, 3).tobytes() for row in array}


def test_train_and_held_out_frames_are_those_of_their_clips(trained: Any, model: str, sounds: Path) -> None:
    opened = AudioModel(model, dispatch=True)
    width = opened.sites(SITE)[0].width
    there = {
        name: np.fromfile(trained.folder.parent / "frames" / f"{name}.f32", "<f4").reshape(-1, width)
        for name in ("train", "held-out")
    }
    clips = [by_hand(opened, path) for path in sorted(sounds.rglob("*.wav")) if path.name != "broken.wav"]
    assert sum(map(len, there.values())) == sum(map(len, clips)) > 1000
    sides = []
    for clip in clips:
        near = {name: np.abs(frames[:, None] - clip[None, :1]).max(-1).min() for name, frames in there.items()}
        sides.append(min(near, key=lambda name: near[name]))
        assert sorted(near.values())[0] < 1e-4 < sorted(near.values())[1], "each clip is on one side"
        own = there[sides[-1]]
        assert all(np.abs(own - frame).max(1).min() < 1e-4 for frame in clip)
    assert (trained.train.clips, trained.held_out.clips) == (sides.count("train"), sides.count("held-out"))
    assert min(trained.train.clips, trained.held_out.clips) >= 3
    assert trained.description["left_out"]["clips"] == 1, "the broken one"


def test_copies_of_a_clip_are_on_one_side(sounds: Path, model: str, tmp_path: Path) -> None:
    """Each clip twice, under another name and in other containers: no sound is both learned and judged by."""
    for path in sorted(sounds.rglob("*.wav"))[:12]:
        if path.name == "broken.wav":
            continue
        shutil.copy(path, tmp_path / f"{path.stem}.wav")
        waveform, rate = soundfile.read(path, dtype="int16")
        soundfile.write(tmp_path / f"copy-of-{path.stem}.flac", waveform, rate)
    options = OPTIONS | {"steps": 1, "held_out": 0.5}
    training = train_sae(model, str(tmp_path), out=tmp_path / "sae", frames=tmp_path / "frames", **options)
    assert training.held_out.clips % 2 == training.train.clips % 2 == 0
    width = AudioModel(model).sites(SITE)[0].width
    train, held_out = (
        np.fromfile(tmp_path / "frames" / f"{name}.f32", "<f4").reshape(-1, width) for name in ("train", "held-out")
    )
    assert not rows(train) & rows(held_out)
    assert len(rows(held_out)) <= len(held_out) / 2


def test_what_is_held_out_hangs_on_content_and_seed_alone() -> None:
    clips = [Clip(i, f"{i}.wav", None, None, 1.0, 16_000, content=f"{i:x}") for i in range(4000)]
    share = sum(HeldOut(0.2, 0).has(clip) for clip in clips) / len(clips)
    assert abs(share - 0.2) < 5 * (0.16 / 4000) ** 0.5
    renamed = [Clip(7, "other", "label", None, 2.0, 8_000, content=clip.content) for clip in clips]
    assert [HeldOut(0.2, 0).has(clip) for clip in clips] == [HeldOut(0.2, 0).has(clip) for clip in renamed]
    assert [HeldOut(0.2, 0).has(clip) for clip in clips] != [HeldOut(0.2, 1).has(clip) for clip in clips]


def test_frames_that_were_interrupted_are_those_that_were_not(
    trained: Any, model: str, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "_CHECKPOINT_SECONDS", 0.0)
    save = frames.FrameStore.save

    def ends_early(store: Any, position: int, *, complete: bool) -> None:
        save(store, position, complete=complete)
        if position >= 16:
            raise KeyboardInterrupt

    monkeypatch.setattr(frames.FrameStore, "save", ends_early)
    with pytest.raises(KeyboardInterrupt):
        train_sae(model, str(sounds), out=tmp_path / "sae", frames=tmp_path / "frames", **OPTIONS)
    monkeypatch.setattr(frames.FrameStore, "save", save)
    ran: list[int] = []
    run_group = frames._Gathering.run_group
    monkeypatch.setattr(
        frames._Gathering, "run_group", lambda self, clips, _: (ran.append(len(clips)), run_group(self, clips, _))[1]
    )
    train_sae(model, str(sounds), out=tmp_path / "sae", frames=tmp_path / "frames", **OPTIONS)
    for name in ("train.f32", "held-out.f32"):
        assert (tmp_path / "frames" / name).read_bytes() == (trained.folder.parent / "frames" / name).read_bytes()
    assert sum(ran) < trained.train.clips + trained.held_out.clips


def test_frames_of_other_data_or_changed_ones_are_refused(
    trained: Any, model: str, sounds: Path, tmp_path: Path
) -> None:
    kept = shutil.copytree(trained.folder.parent / "frames", tmp_path / "frames")
    with pytest.raises(TrainingError, match="frames of other site"):
        train_sae(model, str(sounds), out=tmp_path / "a", frames=kept, **OPTIONS | {"site": "blocks.2.hook_resid_post"})
    with pytest.raises(TrainingError, match="frames of other held_out"):
        train_sae(model, str(sounds), out=tmp_path / "a", frames=kept, **OPTIONS | {"held_out": 0.3})
    content = bytearray((kept / "train.f32").read_bytes())
    content[100] ^= 1
    (kept / "train.f32").write_bytes(content)
    with pytest.raises(TrainingError, match="was changed"):
        train_sae(model, str(sounds), out=tmp_path / "a", frames=kept, **OPTIONS)


def test_a_bound_on_the_disk_holds(model: str, sounds: Path, tmp_path: Path) -> None:
    width = AudioModel(model).sites(SITE)[0].width
    options = OPTIONS | {"frame_bytes": 100 * 4 * width, "steps": 2}
    training = train_sae(model, str(sounds), out=tmp_path / "sae", frames=tmp_path / "frames", **options)
    assert (tmp_path / "frames" / "train.f32").stat().st_size == 100 * 4 * width
    counts = training.description["frames"]
    assert counts["train"]["kept"] == 100 < counts["train"]["seen"]
    assert counts["held_out"]["kept"] == 25 == training.held_out.frames
