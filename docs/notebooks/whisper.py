# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Whisper on recorded sounds: from a trace to a report
#
# With `REAL = True` this dissects `openai/whisper-tiny.en` over a folder `sounds` of yours, which is what you want. As
# it stands, and as it is run for this page, there is no network: a **small random Whisper** hears **generated sounds**,
# in the same steps. A random model's neurons answer to sounds as well, but stand for nothing that training made: do not
# read anything into them. What the real one's look like is in the [gallery](../gallery.md).

# %%
import numpy as np
import torch
from IPython.display import display
from matplotlib import pyplot
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

from and_nnsight import AudioModel, dissect, keep_exemplars
from and_nnsight.demo import make_sound, make_sounds
from and_nnsight.explain import card, explain, label
from and_nnsight.look import write_report

REAL = False


def small_random_whisper() -> AudioModel:
    """Whisper's architecture, two blocks, 2 s of window."""
    config = WhisperConfig(
        vocab_size=64, d_model=64, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=256, decoder_ffn_dim=256, num_mel_bins=40,
        max_source_positions=100, pad_token_id=0, bos_token_id=1, eos_token_id=1, decoder_start_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    features = WhisperFeatureExtractor(feature_size=40, chunk_length=2)
    return AudioModel(WhisperForConditionalGeneration(config).eval(), feature_extractor=features)


model = AudioModel("openai/whisper-tiny.en") if REAL else small_random_whisper()
sounds = "sounds" if REAL else list(make_sounds(per_class=3))
for place in model.sites():
    print(f"{place.name:28} {place.width:5} units")

# %% [markdown]
# ## A trace
#
# An `AudioModel` is an nnsight model: what happens inside a `with model.trace(…)` runs within the forward pass. Any
# audio value goes in; a site is named as in TransformerLens.

# %%
bell = make_sound("bell", 0)
site = "blocks.1.mlp.hook_post"
with model.trace(bell.waveform, sampling_rate=bell.sampling_rate):
    post = model.site(site).save()  # [clip, frame, unit]
print(tuple(post.shape))

# %% [markdown]
# Frames have seconds. Those beyond the clip's end are padding, which Whisper hears as well; they never count.

# %%
(where,) = model.sites(site)
seconds = where.geometry.times(np.arange(post.shape[1])).mean(axis=1)
inside = seconds < len(bell.waveform) / bell.sampling_rate
unit = int(post[0, inside].max(dim=0).values.argmax())
figure, axes = pyplot.subplots()
axes.plot(seconds[inside], post[0, inside, unit].detach())
labels = axes.set(xlabel="seconds", ylabel="activation", title=f"{site}, neuron {unit}, over a bell")

# %% [markdown]
# ## All neurons, all sounds
#
# `dissect` runs that trace over the data and keeps each neuron's highest and lowest clips. Stop it whenever you like:
# the same call goes on. On two cores the real model takes about 0.5 s a clip, since it always hears 30 s.

# %%
dissection = dissect(model, sounds, k=8, out="runs/whisper", progress=False)
display(dissection)

# %%
explain(dissection, progress=False)
label(dissection, "labels", method="db", progress=False)
best = dissection.best(12)
display(best)

# %% [markdown]
# ## One of them
#
# Is the card's sentence what you hear? Only clips that say something are evidence; a neuron with few of them says so.

# %%
first = best[0]
given = None if REAL else sounds
keep_exemplars(dissection, [(first.site, first.unit)], model, given, most=4, progress=False)
display(card(dissection, first.site, first.unit))

# %% [markdown]
# ## A page to send
#
# One file, opened by a double click: players, spectrograms, words. Whether the words are true of other clips is what
# [`score`](../explain.md#is-it-true) tells; its verdicts stand on the cards.

# %%
page = write_report(
    dissection, "whisper.html", [(row.site, row.unit) for row in best], model=model, data=given, progress=False
)
print(page)
