"""Traces of a part on a server beside traces here: `python part_traces.py URL MODEL CODEC`; JSON on the last line.

MODEL is a Qwen2-Audio, whose own forward makes its tower's masks; CODEC a CSM, which hears by a codec.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import httpx
import nnsight
import numpy as np
import torch

from and_nnsight import AudioModel, ModelError, RemoteRunError, dissect

URL, NAME, CODEC = sys.argv[1:]
SITE, LAST = "blocks.0.mlp.hook_post", "blocks.1.hook_resid_post"
chance = np.random.default_rng(0)
WAVES = [chance.standard_normal(samples).astype(np.float32) for samples in (20_000, 32_000, 9_000)]
here, away = AudioModel(NAME, dispatch=True), AudioModel(NAME)
SOUNDS = [{"audio": {"array": WAVES[0], "sampling_rate": 16_000}}]
told: dict[str, object] = {}


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    assert one.shape == other.shape, (one.shape, other.shape)
    return float((one - other).abs().max())


def sentence(act: Callable[[], object]) -> str:
    try:
        act()
    except (ModelError, RemoteRunError) as error:
        return str(error)
    return "it did not fail"


def traced(model: AudioModel) -> None:
    with model.trace(WAVES[0], remote=URL):
        nnsight.save(1)


with torch.no_grad():
    with here.trace(WAVES):
        first = here.site(SITE).save()
        last = here.site(LAST).save()
        whole = here.output.last_hidden_state.save()
    with here.edit() as (_, edited):
        edited.site(SITE)[..., :10] = 5.0
    with edited.trace(WAVES):
        changed = edited.site(LAST).save()

with away.trace(WAVES, remote=URL):
    there = away.site(SITE).save()
    block = away.blocks[1].output.save()
    out = away.output.last_hidden_state.save()
told["site"], told["output"] = apart(there, first), apart(out, whole)
told["module"] = apart(block[0] if isinstance(block, tuple) else block, last)

handle = away.site(SITE)
with away.session(remote=URL):
    kept = []
    for wave in WAVES:
        with away.trace(wave):
            kept.append(handle.output.amax(1))
    best = nnsight.save(torch.cat(kept))
told["session"] = apart(best, first.amax(1))

with away.edit() as (_, altered):
    handle.output[..., :10] = 5.0
with altered.trace(WAVES, remote=URL):
    again = altered.site(LAST).save()
told["edited"] = apart(again, changed)
told["changed"] = apart(changed, last)

with away.trace(WAVES, remote="local"):
    dry = away.site(SITE).save()
told["dry run"] = apart(dry, first)

fresh = AudioModel(NAME)
with fresh.trace(WAVES[:1], remote=URL):
    once = fresh.site(SITE).save()
told["clip"] = apart(once, first[:1])
told["weightless"] = [fresh.dispatched, *{str(parameter.device) for parameter in fresh.wrapped.parameters()}]
told["reader"] = sentence(lambda: traced(AudioModel(NAME, part="language_model")))
told["reads"] = sentence(lambda: dissect(NAME, SOUNDS, part="language_model", remote=URL, out="refused"))
told["codec"] = sentence(lambda: traced(AudioModel(CODEC)))
httpx.post(f"{URL}/_faults", json={"trusted": False, "env": {"nnsight": "0.8.3"}}).raise_for_status()
told["sandboxed"] = sentence(lambda: dissect(NAME, SOUNDS, remote=URL, out="refused", progress=False))
print(json.dumps(told))
