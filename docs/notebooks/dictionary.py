# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Train and dissect a sparse autoencoder
#
# A neuron often stands for several things at once. A sparse autoencoder (a *dictionary*) rewrites a site's activations
# as a few of many *latents*. For a model of yours,
# [and-nnsight-sae](https://github.com/and-nnsight/and_nnsight/tree/main/plugins/and-nnsight-sae) trains one with
# SAELens's own trainer, in an environment of its own:
#
# ```sh
# and-nnsight train-sae openai/whisper-tiny.en sounds --site blocks.2.hook_resid_post --width 4096 --out saes/whisper-2
# ```
#
# **Here SAELens is not used**: forty lines of torch train a small one on the embedded model, and write it in SAELens's
# format. All that comes after is the same for either.

# %%
import json
from pathlib import Path

import torch
from IPython.display import display
from safetensors.torch import save_file
from torch import Tensor

from and_nnsight import AudioModel, dissect, keep_exemplars
from and_nnsight.demo import Sound, make_sounds, tiny_ast_path
from and_nnsight.explain import card, explain
from and_nnsight.unlearn import UnitChoice, ablate

model, site = AudioModel(str(tiny_ast_path())), "blocks.2.hook_resid_post"
sounds, others = list(make_sounds(per_class=4)), list(make_sounds(per_class=1, seed=1))

# %% [markdown]
# ## Frames
#
# What the site says of every frame that carries sound; an AST's first two tokens are none.


# %%
def frames(clips: list[Sound]) -> Tensor:
    """The site's activations, [frame, unit]."""
    values = []
    for start in range(0, len(clips), 16):
        waveforms = [clip.waveform for clip in clips[start : start + 16]]
        with torch.inference_mode(), model.trace(waveforms, sampling_rate=clips[0].sampling_rate):
            block = model.site(site).save()
        values.append(block[:, 2:].flatten(0, 1).float().clone())
    return torch.cat(values)


seen, unseen = frames(sounds), frames(others)
print(tuple(seen.shape), tuple(unseen.shape))

# %% [markdown]
# ## Training
#
# Centred and scaled first: most of a frame's norm is the mean of all frames, and latents die of learning that. In each
# frame only the eight highest latents count.

# %%
LATENTS, K = 512, 8
mean = seen.mean(0)
scale = (seen.shape[1] ** 0.5) / (seen - mean).norm(dim=1).mean()

torch.manual_seed(0)
decoder = torch.nn.functional.normalize(torch.randn(LATENTS, seen.shape[1]), dim=1).requires_grad_()
encoder = decoder.detach().T.clone().requires_grad_()
bias = torch.zeros(LATENTS, requires_grad=True)
adam = torch.optim.Adam([decoder, encoder, bias], lr=2e-3)


def latents_of(batch: Tensor) -> Tensor:
    """The K highest of each frame; the others are zero."""
    every = (batch - mean) * scale @ encoder + bias
    highest = every.topk(K, dim=1)
    return torch.zeros_like(every).scatter(1, highest.indices, highest.values.relu())


for _ in range(300):
    batch = seen[torch.randint(len(seen), (512,))]
    loss = (latents_of(batch) @ decoder - (batch - mean) * scale).square().mean()
    adam.zero_grad()
    loss.backward()
    adam.step()
    with torch.no_grad():
        decoder /= decoder.norm(dim=1, keepdim=True)

with torch.no_grad():
    for name, these in (("trained on", seen), ("other sounds", unseen)):
        latents = latents_of(these)
        missed = (latents @ decoder - (these - mean) * scale).square().sum()
        explained = 1 - missed / ((these - these.mean(0)) * scale).square().sum()
        dead = (latents == 0).all(dim=0).float().mean()
        print(f"{name}: {explained:.0%} of the variance explained, {dead:.0%} of the latents never active")

# %% [markdown]
# Mean and scale are folded into the weights, so that the dictionary takes the site's own activations.

# %%
folder = Path("saes/block-2")
folder.mkdir(parents=True, exist_ok=True)
weights = {"W_enc": encoder * scale, "b_enc": bias, "W_dec": decoder / scale, "b_dec": mean}
save_file({name: value.detach().contiguous() for name, value in weights.items()}, folder / "sae_weights.safetensors")
settings = {"architecture": "topk", "k": K, "d_in": seen.shape[1], "d_sae": LATENTS, "apply_b_dec_to_input": True}
(folder / "cfg.json").write_text(json.dumps(settings), encoding="utf-8")

# %% [markdown]
# ## Latents are units
#
# `SITE|sae:PATH` goes wherever a site goes: dissected, explained, shown, and put out.

# %%
latent_site = f"{site}|sae:{folder}"
dissection = dissect(model, sounds, [latent_site, "blocks.2.mlp.hook_post"], k=8, out="runs/latents", progress=False)
explain(dissection, progress=False)
display(dissection.best(8, sites=latent_site))

# %%
best = dissection.best(1, sites=latent_site)[0]
keep_exemplars(dissection, [(latent_site, best.unit)], model, sounds, most=4, progress=False)
display(card(dissection, latent_site, best.unit))

# %% [markdown]
# ## Latents and neurons
#
# How many of a unit's top clips that are evidence are of one kind? On average over units with at least four such clips:

# %%
for name in dissection.sites:
    rows = [row for row in dissection.units(name) if row.evidence >= 4 and row.common_count]
    purity = sum(row.common_count / row.evidence for row in rows) / len(rows)
    print(f"{name}: {len(rows)} units, {purity:.0%} of their clips are of one kind")

# %% [markdown]
# One comparison on a toy model proves nothing, and random directions do well at this too: the plugin's README has them
# beside a trained dictionary on Whisper.
#
# ## Without it
#
# Ablating latents takes their part out of the activation, along their directions in the decoder; frames on which none
# of them is active stay as they are. The best latent alone changes nothing, since others say the same; here go all
# whose clips are of its kind more than of any other.

# %%
kind = dissection.unit(latent_site, best.unit).top[0].label
chosen = [row.unit for row in dissection.units(latent_site) if row.common_label == kind]
without = ablate(model, UnitChoice({latent_site: chosen}))
clip = next(sound for sound in others if sound.label == kind)
for title, asked in (("whole", model), (f"without {len(chosen)} latents", without)):
    with torch.inference_mode(), asked.trace(clip.waveform, sampling_rate=clip.sampling_rate):
        logits = asked.output.logits.save()
    print(f"{title}: the logit of {kind} is {float(logits[0, model.config.label2id[kind]]):.2f}")
