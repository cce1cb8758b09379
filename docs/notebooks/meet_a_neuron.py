# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Meet a neuron
#
# The package brings a tiny Audio Spectrogram Transformer and a generator of labelled sounds, so that nothing here needs
# a network: `pip install 'and-nnsight[look]'`, and about half a minute.
#
# We play 128 sounds of 32 kinds to the model and keep, for each neuron, the clips to which it responds most and least.

# %%
from IPython.display import Audio, display

from and_nnsight import dissect, hear, keep_exemplars
from and_nnsight.demo import make_sound, make_sounds, tiny_ast_path
from and_nnsight.explain import card, explain, label, search

sounds = list(make_sounds(per_class=4))
dissection = dissect(str(tiny_ast_path()), sounds, k=8, out="runs/meet", progress=False)
display(dissection)

# %% [markdown]
# ## Words
#
# What do a neuron's clips have in common that other neurons' clips have not? The captions of the sounds are counted; no
# language model is asked. Labels are the kinds of sound that go with it best.

# %%
explain(dissection, progress=False)
label(dissection, "labels", method="db", progress=False)
display(search(dissection, "a falling tone", most=5))

# %% [markdown]
# ## The neuron itself
#
# Its card plays the moment at which it fires, and draws its activation over the sound. The curve is orange, the bar is
# the frame at which it is highest.

# %%
(site, unit), *_ = [(match.site, match.unit) for match in search(dissection, "a falling tone", most=5)]
keep_exemplars(dissection, [(site, unit)], data=sounds, most=4, progress=False)
display(card(dissection, site, unit))

# %% [markdown]
# ## As numbers
#
# Everything that a card shows is there as values: seconds, activations, samples.

# %%
best = dissection.unit(site, unit).top[0]
samples, rate = best.audio()
print(f"{best.label}: {best.activation:.2f} from {best.start:.2f} to {best.end:.2f} s of {len(samples) / rate:.1f} s")
axes = best.plot()

# %% [markdown]
# ## The part that it needs
#
# Another neuron, one of bells, and a bell in noise. `hear` masks the sound until the neuron keeps its activation and
# little else is left: `kept` is what it hears, to listen to, and `removed` the rest, which it does not need. Whether
# that can be trusted is said as well: the activation on both and on silence, and the rank (p) among masks that keep as
# much elsewhere.

# %%
bell, noise = make_sound("bell", 0), make_sound("low noise", 1)
mixture = bell.waveform + 0.3 * noise.waveform
display(Audio(mixture, rate=bell.sampling_rate))
heard = hear("blocks.2.mlp.hook_post:227", mixture, sampling_rate=bell.sampling_rate, model=str(tiny_ast_path()))
print(heard)
for part in ("kept", "removed"):
    waveform, rate = heard.audio(part)
    display(part, Audio(waveform, rate=rate))

# %% [markdown]
# ## The others
#
# The most selective neurons of all, as a table; `write_report` makes a page of them that opens without a network, and
# `and-nnsight explore runs/meet` a live one, into which you can sing.

# %%
display(dissection.best(5))
