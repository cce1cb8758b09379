# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Unlearn a concept and hear what is left
#
# The neurons of a concept are put out, and the model is asked again: what has become of the concept, and of everything
# else? The embedded model needs no network.

# %%
import numpy as np
import torch
from IPython.display import Audio, display

from and_nnsight import AudioModel, dissect, hear
from and_nnsight.demo import make_sound, make_sounds, tiny_ast_path
from and_nnsight.unlearn import ablate, choose, measure

model = AudioModel(str(tiny_ast_path()))
dissection = dissect(model, list(make_sounds(per_class=4)), k=8, out="runs/unlearn", progress=False)

# %% [markdown]
# ## Which neurons are the siren's?
#
# `ocp` (overall concept presence, the paper's): neurons whose highest clips' captions carry the word. Other ways are
# one word away: `db`, `tab`, `icl`, `correlation`, `random` …

# %%
siren = choose(dissection, "siren", method="ocp", share=0.05)
display(siren)

# %% [markdown]
# ## What the model says with and without them
#
# `ablate` gives the same model with these neurons at zero, as edits of the trace; the weights stay as they are.

# %%
without = ablate(model, siren)
heard = make_sound("siren", 99)  # a siren that nothing was chosen by
names = model.config.id2label


def answers(asked: AudioModel, waveform: np.ndarray) -> dict[str, float]:
    """Its three likeliest classes, with their logits."""
    with torch.inference_mode(), asked.trace(waveform, sampling_rate=heard.sampling_rate):
        logits = asked.output.logits.save()
    top = logits[0].float().topk(3)
    return {names[int(place)]: round(float(value), 2) for value, place in zip(top.values, top.indices, strict=True)}


print("whole  ", answers(model, heard.waveform))
print("without", answers(without, heard.waveform))

# %% [markdown]
# ## Is that more than any neurons would do?
#
# One sound says little. On other sounds, all kinds of them, the siren's logit is held against the other classes', and
# the chosen neurons against as many random ones of the same layers.

# %%
others = list(make_sounds(per_class=2, seed=1))
measurement = measure(model, others, siren, draws=5, bootstrap=100, progress=False)
(row,) = measurement.by_method()
logit = row.logit
print(f"without these units the siren's logit falls by {logit.selectivity.value:.2f} more than the others'")
if logit.control_selectivity is not None:  # with draws=0 there are no random ones
    print(f"without as many random units by {logit.control_selectivity.value:.2f}")

# %% [markdown]
# The embedded model loses margin and not accuracy: it still calls a siren a siren, only less surely. A concept is
# seldom in a few neurons alone.
#
# ## Hear what is left
#
# A siren in noise. Most neurons whose clips are sirens were not put out, so the concept is not gone:

# %%
gone = {(site, unit) for site, units in siren.units.items() for unit in units}
sirens = [row for row in dissection.units() if row.common_label == "siren"]
left = [row for row in sirens if (row.site, row.unit) not in gone]
print(f"of {len(sirens)} neurons whose clips are sirens more than anything else, {len(left)} are left")

mixture = heard.waveform + 0.5 * make_sound("middle noise", 99).waveform
print("whole  ", answers(model, mixture))
print("without", answers(without, mixture))
display(Audio(mixture, rate=heard.sampling_rate))

# %% [markdown]
# And the other way round: not the neuron is taken from the model but what it hears from the sound. `kept` is the part
# of the mixture that one of the siren's neurons needs, `removed` is what is left when that is gone.

# %%
first = next(row for row in sirens if (row.site, row.unit) in gone)
part = hear((first.site, first.unit), mixture, sampling_rate=heard.sampling_rate, model=model)
print(part)
for name in ("kept", "removed"):
    waveform, rate = part.audio(name)
    display(name, Audio(waveform, rate=rate))
    print(f"{name:7}", answers(model, waveform))

# %% [markdown]
# With `kept` alone the siren is surer than in the mixture. Without it the siren's logit falls by more than half, and
# without the fifty neurons by an eighth; but then `kept` is two thirds of the spectrogram, and the neurons a twentieth
# of all.
