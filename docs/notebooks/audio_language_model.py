# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # An audio language model: which neurons read this sound?
#
# Behind the ear of an audio language model stands a language model that reads what was heard, as tokens of a text.
# `part="language_model"` opens it: its neurons are units like any other.
#
# With `REAL = True` that is `Qwen/Qwen2-Audio-7B-Instruct` (16 GB of weights, a GPU) over a folder `sounds` of yours.
# As it stands, and as it is run for this page, it is a **small random Qwen2-Audio** over **generated sounds**: the same
# classes of transformers, the same steps, and neurons that stand for nothing.

# %%
import numpy as np
import torch
from IPython.display import Audio, display
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    WhisperFeatureExtractor,
)

from and_nnsight import AudioModel, dissect, keep_exemplars
from and_nnsight.demo import make_sounds
from and_nnsight.explain import card, explain

REAL = False
PROMPT = "What do you hear in this sound?"


def small_random_qwen2_audio() -> AudioModel:
    """Qwen2-Audio's architecture: a Whisper encoder, a projector and a Qwen2, two blocks each."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: place for place, token in enumerate(special + letters)}
    bytewise = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.add_special_tokens(special)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytewise, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    config = Qwen2AudioConfig(
        audio_config={
            "d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 128,
            "num_mel_bins": 40, "max_source_positions": 100,
        },
        text_config={
            "model_type": "qwen2", "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 256,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
        },
        audio_token_index=vocabulary["<|AUDIO|>"],
    )  # fmt: skip
    torch.manual_seed(0)
    module = Qwen2AudioForConditionalGeneration(config).eval()
    for parameter in module.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)  # as it comes, its tokens are all but alike
    processor = Qwen2AudioProcessor(WhisperFeatureExtractor(feature_size=40, chunk_length=2), tokenizer)
    return AudioModel(module, part="language_model", processor=processor, prompt=PROMPT)


if REAL:
    model = AudioModel("Qwen/Qwen2-Audio-7B-Instruct", part="language_model", prompt=PROMPT)
else:
    model = small_random_qwen2_audio()
sounds = "sounds" if REAL else list(make_sounds(per_class=2))
for place in model.sites("blocks.0.*"):
    print(f"{place.name:28} {place.width:5} units")

# %% [markdown]
# ## The reader, dissected
#
# Each clip goes in with the prompt, as the model's chat template writes it. Frames are the positions of the sound among
# the tokens, and have seconds; `tokens="prompt"` or `"answer"` would count words instead. Activations of all clips are
# kept.

# %%
dissection = dissect(
    model, sounds, ["blocks.*.mlp.hook_post"], k=8, out="runs/reader", keep_activations=True, progress=False
)
print(dissection.manifest.model.reading)
explain(dissection, progress=False)
display(dissection)

# %% [markdown]
# ## This sound
#
# Which neurons does one clip move most? In each neuron's own standard deviations over all clips, from its own mean, so
# that loud neurons do not drown the others.

# %%
clip = 7
about = dissection.clips[clip]
print(about.label, "–", about.caption)
if not isinstance(sounds, str):
    display(Audio(sounds[clip].waveform, rate=sounds[clip].sampling_rate))

moved = []
for site in dissection.sites:
    values = np.asarray(dissection.activations(site))  # [clip, unit]
    above = (values[clip] - values.mean(axis=0)) / values.std(axis=0)
    moved += [(float(above[unit]), site, int(unit)) for unit in np.argsort(-above)[:5]]
moved.sort(reverse=True)
for deviations, site, unit in moved[:8]:
    top = dissection.unit(site, unit).top
    place = next((place for place, exemplar in enumerate(top, 1) if exemplar.clip == clip), None)
    listed = f"place {place} of its list" if place else "not in its list"
    print(f"{site} {unit}: {deviations:.1f} deviations, {listed}, {top[0].label} first")

# %% [markdown]
# ## When they read it
#
# The neuron that the sound moves most: its card, with the second at which it fires. The token at that place of the
# prompt stands for that stretch of sound.

# %%
_, site, unit = moved[0]
keep_exemplars(dissection, [(site, unit)], model, None if REAL else sounds, most=4, progress=False)
display(card(dissection, site, unit))

# %%
axes = dissection.unit(site, unit).curve(clip).plot()
