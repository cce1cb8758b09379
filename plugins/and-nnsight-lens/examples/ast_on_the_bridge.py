"""An Audio Spectrogram Transformer on the bridge: attribution, dissection, patching, ablation.

A notebook in cells. It needs no network and takes a few seconds: the tiny model and its sounds come with and-nnsight.
Put your own in their places: `AudioModel("MIT/ast-finetuned-audioset-10-10-0.4593")`, `list_of_paths`.
"""

# %% A model on the bridge
from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
from and_nnsight import AudioModel, dissect
from and_nnsight.demo import make_sound, make_sounds, tiny_ast_path
from nnsight import NNsight
from torch import Tensor

from and_nnsight_lens import run_with_hooks, to_transformer_lens

torch.set_num_threads(1)
torch.set_grad_enabled(False)
model = AudioModel(str(tiny_ast_path()))
bridge = to_transformer_lens(model, attention="eager")
names = bridge.original_model.config.id2label
layers, heads = bridge.cfg.n_layers, bridge.cfg.n_heads
print(f"{layers} blocks, {heads} heads, {bridge.cfg.d_mlp} MLP neurons a block, {len(names)} classes")

# %% Two sounds
A, B = "rising sweep", "falling sweep"
sounds = [make_sound(A, 0, seed=7), make_sound(B, 0, seed=7)]
features = model.features([sound.waveform for sound in sounds])["input_values"]
a, b = (next(index for index, name in names.items() if name == label) for label in (A, B))
logits, cache = bridge.run_with_cache(features)
for sound, row in zip(sounds, logits, strict=True):
    print(f"{sound.label:>14}: heard as {names[int(row.argmax())]}, {A} − {B} = {row[a] - row[b]:+.2f}")

# %% Logit attribution by site
# The head is (class token + distillation token) / 2 → layer norm → linear, after the final layer norm of each token.
# With both norms' scales held, the difference of two logits is a sum over what each site wrote into the stream.
final, head = bridge.ln_final, bridge.classifier_ln
direction = bridge.W_U[:, a] - bridge.W_U[:, b]


def centred(x: Tensor) -> Tensor:
    """Less its mean, as a layer norm begins."""
    return x - x.mean(-1, keepdim=True)


def to_logit_difference(written: Tensor, clip: int) -> Tensor:
    """What a write [..., token, d_model] to the two special tokens adds to the difference of the logits."""
    tokens = centred(written) / cache["ln_final.hook_scale"][clip, :2] * final.w
    return centred(tokens.mean(-2)) / cache["classifier_ln.hook_scale"][clip] * head.w @ direction


sites = ["hook_embed"] + [
    f"blocks.{layer}.{part}" for layer in range(layers) for part in ("hook_attn_out", "hook_mlp_out")
]
print(f"\nwhat each site adds to {A} − {B}")
for site in sites:
    values = [float(to_logit_difference(cache[site][clip, :2], clip)) for clip in (0, 1)]
    print(f"  {site:24} {values[0]:+7.2f} {values[1]:+7.2f}")
for clip in (0, 1):
    parts = sum(to_logit_difference(cache[site][clip, :2], clip) for site in sites)
    constant = centred(final.b) / cache["classifier_ln.hook_scale"][clip] * head.w @ direction + head.b @ direction
    constant = constant + bridge.b_U[a] - bridge.b_U[b]
    assert torch.allclose(parts + constant, logits[clip, a] - logits[clip, b], atol=1e-3)
print("  with the biases they add up to the logits")

# %% The neuron that says it loudest
layer = layers - 1
post = cache["post", layer][0, :2]  # [token, neuron]
written = post.T[..., None] * bridge.blocks[layer].mlp.W_out[:, None]  # [neuron, token, d_model]
by_neuron = to_logit_difference(written, 0)
site, neuron = f"blocks.{layer}.mlp.hook_post", int(by_neuron.argmax())
print(f"\n{site} neuron {neuron} adds {by_neuron[neuron]:+.2f} of it. What does it listen for?")

# %% Ask a dataset, through the same hooks
dataset = list(make_sounds(per_class=6))
folder = Path(tempfile.mkdtemp()) / "dissection"
dissection = dissect(bridge, dataset, sites="default", k=8, pool="cls", out=folder, progress=sys.stderr.isatty())
unit = dissection.unit(site, neuron)
print(f"{dissection}")
for exemplar in unit.top[:4]:
    print(f"  {exemplar.activation:5.2f}  {exemplar.label:16} {exemplar.caption}")
print(
    "  its eight highest:", ", ".join(f"{n} {label}" for label, n in Counter(e.label for e in unit.top).most_common())
)

# %% Activation patching: put what the model heard in one sound into its hearing of the other
difference = float(logits[0, a] - logits[0, b]), float(logits[1, a] - logits[1, b])


def patched(site: str, positions: slice = slice(None)) -> float:
    """The share of the difference between the sounds that comes back when the site's activation of A is put into B."""

    def from_a(tensor: Tensor, hook: object) -> Tensor:
        tensor[:, positions] = cache[site][:1, positions]
        return tensor

    row = run_with_hooks(bridge, features[1:], [(site, from_a)])[0]
    return (float(row[a] - row[b]) - difference[1]) / (difference[0] - difference[1])


tokens, patches = slice(0, 2), slice(2, None)
columns = {"patches before": ("resid_pre", patches), "tokens before": ("resid_pre", tokens),
           "attention": ("attn_out", slice(None)), "MLP": ("mlp_out", slice(None))}  # fmt: skip
print(f"\nshare of {A} − {B} restored by patching\n  block  " + "  ".join(columns))
for layer in range(layers):
    shares = [patched(f"blocks.{layer}.hook_{part}", where) for part, where in columns.values()]
    print(f"  {layer:5}  " + "  ".join(f"{share:{len(name)}.0%}" for name, share in zip(columns, shares, strict=True)))
assert abs(patched("blocks.0.hook_resid_pre") - 1) < 1e-3

# %% Head ablation: how much worse does it hear without each head?
test = list(make_sounds(per_class=2, seed=5))
heard = model.features([sound.waveform for sound in test])["input_values"]
truth = torch.tensor([next(i for i, name in names.items() if name == sound.label) for sound in test])


def loss(silent: tuple[int, int] | None = None) -> float:
    """Cross-entropy over the test sounds, without one (layer, head)."""

    def without(z: Tensor, hook: object) -> Tensor:
        assert silent is not None
        z[:, :, silent[1]] = 0
        return z

    hooks = [] if silent is None else [(f"blocks.{silent[0]}.attn.hook_z", without)]
    return float(torch.nn.functional.cross_entropy(run_with_hooks(bridge, heard, hooks), truth))


base = loss()
print(
    f"\ncross-entropy {base:.3f}; without a head it grows by\n  block  " + "  ".join(f"head {h}" for h in range(heads))
)
for layer in range(layers):
    print(f"  {layer:5}  " + "  ".join(f"{loss((layer, h)) - base:+6.3f}" for h in range(heads)))

# %% The same neuron in nnsight, around the same bridge
around = NNsight(bridge)
with around.trace(features):
    around.blocks[layers - 1].mlp.hook_post.output[..., neuron] = 0
    without_neuron = around.output.save()
change = (without_neuron - logits)[0, [a, b]]
print(f"\nwithout neuron {neuron}: {A} {change[0]:+.2f}, {B} {change[1]:+.2f}")
