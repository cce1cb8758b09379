"""Traces on a server beside traces here: `python traces.py URL MODEL`; prints each difference, JSON on the last line."""

from __future__ import annotations

import json
import sys

import nnsight
import numpy as np
import torch
from nnsight.intervention.backends.remote import RemoteError

from and_nnsight import AudioModel, ModelError

URL, NAME = sys.argv[1:]
SITE, LAST = "blocks.0.mlp.hook_post", "blocks.1.hook_resid_post"
chance = np.random.default_rng(0)
WAVES = [chance.standard_normal(samples).astype(np.float32) for samples in (20_000, 32_000, 26_000)]
here, away = AudioModel(NAME, dispatch=True), AudioModel(NAME)
told: dict[str, object] = {}


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    assert one.shape == other.shape, (one.shape, other.shape)
    return float((one - other).abs().max())


with torch.no_grad():
    with here.trace(WAVES[0]):
        first = here.site(SITE).save()
        last = here.site(LAST).save()
        logits = here.output.logits.save()
    with here.trace(WAVES[1:]):
        others = here.site(SITE).save()
    with here.edit() as (_, edited):
        edited.site(SITE)[..., :10] = 5.0
    with edited.trace(WAVES[0]):
        changed = edited.output.logits.save()

handle = away.site(SITE)
with away.trace(WAVES[0], remote=URL):
    inside = away.site(SITE).save()
    out = away.output.logits.save()
told["by name"], told["output"] = apart(inside, first), apart(out, logits)

with away.trace(WAVES[0], remote=f"{URL}/"):
    outside = handle.output.save()
told["by handle"] = apart(outside, first)

with away.trace(away.features(WAVES[0]), remote=URL) as tracer:
    stopped = away.site(SITE).save()
    tracer.stop()
told["stopped"] = apart(stopped, first)

with away.trace(remote=URL) as tracer:
    with tracer.invoke(WAVES[0]):
        one = handle.output.save()
    with tracer.invoke(WAVES[1:]):
        two = away.site(SITE).save()
    with tracer.invoke():
        three = away.site(LAST).save()
told["invokes"] = max(apart(one, first), apart(two, others), apart(three[:1], last))

with away.session(remote=URL):
    kept = []
    for wave in WAVES:
        with away.trace(wave):
            kept.append(handle.output.amax(1))
    best = nnsight.save(torch.cat(kept).amax(0))
told["session"] = apart(best, torch.cat([first, others]).amax((0, 1)))

with away.edit() as (_, altered):
    handle.output[..., :10] = 5.0
with altered.trace(WAVES[0], remote=URL):
    there = altered.output.logits.save()
told["edited"] = apart(there, changed)
assert told["edited"] == 0 or apart(changed, logits) > 10 * told["edited"]

with away.trace(WAVES[0], remote="local"):
    dry = away.site(SITE).save()
told["dry run"] = apart(dry, first)
told["dispatched by the dry run"] = away.dispatched

fresh = AudioModel(NAME)
sentences = []
try:
    with fresh.trace(WAVES[0], remote=URL):
        lost = nnsight.save(fresh.site(SITE) @ torch.ones(3, 3))
except RemoteError as error:
    sentences.append(str(error).strip().splitlines()[-1])
try:
    with fresh.trace(remote=URL) as tracer:  # noqa: SIM117
        with tracer.invoke("a/file.wav"):
            lost = fresh.site(SITE).save()
except RemoteError as error:
    sentences.append(str(error).strip().splitlines()[-1])
try:
    with AudioModel(here.wrapped, feature_extractor=here.featuriser.extractor).trace(WAVES[0], remote=URL):
        lost = nnsight.save(1)
except ModelError as error:
    sentences.append(str(error))
with fresh.trace(WAVES[0], remote=URL):
    again = fresh.site(SITE).save()
told["after an error"] = apart(again, first)
told["weightless"] = [fresh.dispatched, *{str(parameter.device) for parameter in fresh.wrapped.parameters()}]
told["sentences"] = sentences
print(json.dumps(told))
