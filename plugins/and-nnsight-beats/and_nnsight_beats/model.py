"""BEATs as a module that nnsight and `and_nnsight` can read: SpeechBrain's blocks with clips on the first axis.

BEATs's own code runs its blocks time-first, [patch, clip, unit]. nnsight tells invokes apart by the first axis, and so
does everybody who reads an activation; the blocks are the same either way, only the attention cares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from and_nnsight.sites.audio_spec import AudioSpec
from and_nnsight.sites.geometry import PatchColumns
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils.generic import ModelOutput

from . import _speechbrain
from .config import MEL_BINS, BEATsConfig
from .filterbank import HOP, WINDOW, FilterBank

_PAPER = ("*.mlp.hook_pre", "*.hook_mlp_out", "unembed.hook_out")


@dataclass
class BEATsOutput(ModelOutput):
    """What BEATs with a head gives: `logits` [clip, class] and `last_hidden_state` [clip, patch, width]."""

    logits: Tensor | None = None
    last_hidden_state: Tensor | None = None


class BatchFirstAttention(_speechbrain.MultiheadAttention):
    """SpeechBrain's attention, taking and giving [clip, patch, width]; inside, patches stand first."""

    projects_frames_first = True

    def forward(self, query: Tensor, *others: Any, **options: Any) -> tuple[Tensor, Any, Any]:
        """Attended values [clip, patch, width], weights (None), and the position bias for the next block."""
        turned = query.transpose(0, 1)
        attended, weights, bias = super().forward(turned, **{**options, "key": turned, "value": turned})
        return attended.transpose(0, 1), weights, bias


class BatchFirstEncoder(_speechbrain.TransformerEncoder):
    """SpeechBrain's encoder, its blocks over [clip, patch, width].

    It is for reading, not for training: it drops nothing between the blocks, and does not scale gradients from block to
    block as fine-tuned checkpoints ask their training to, so that a gradient is the model's own.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        for layer in self.layers:
            # The layer makes its own attention; the same one under a class of another axis order.
            attention: Any = layer.self_attn
            attention.__class__ = BatchFirstAttention

    def extract_features(
        self, x: Tensor, padding_mask: Tensor | None = None, output_all_hiddens: Any = None
    ) -> tuple[Tensor, list]:
        """Patches [clip, patch, width] through the blocks; `padding_mask` [clip, patch] is true where there is none."""
        if padding_mask is not None:
            x = x.masked_fill(padding_mask[..., None], 0)
        x = self.layer_norm(x + self.pos_conv(x.transpose(1, 2)).transpose(1, 2))
        bias = None
        for layer in self.layers:
            x, _, bias = layer(x, self_attn_padding_mask=padding_mask, need_weights=False, pos_bias=bias)
        return x, []


class MeanOverPatches(nn.Linear):
    """The class head: a linear layer on every patch, and the mean over the clip's own."""

    def forward(self, input: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """Logits [clip, class] of hidden states [clip, patch, width]."""
        logits = super().forward(input)
        if padding_mask is None:
            return logits.mean(1)
        return logits.masked_fill(padding_mask[..., None], 0).sum(1) / (~padding_mask).sum(1, keepdim=True)


class BEATs(nn.Module):
    """BEATs over filter banks (see `FilterBank`). Parameters bear the published checkpoints' names."""

    main_input_name = "input_values"
    name_or_path: str = ""

    def __init__(self, config: BEATsConfig) -> None:
        super().__init__()
        self.config = config
        cfg = config.cfg
        patch, embedded = cfg["input_patch_size"], cfg["embed_dim"]
        self.patch_embedding = nn.Conv2d(1, embedded, kernel_size=patch, stride=patch, bias=cfg["conv_bias"])
        self.layer_norm = nn.LayerNorm(embedded)
        self.post_extract_proj = nn.Linear(embedded, config.hidden_size) if embedded != config.hidden_size else None
        self.encoder = BatchFirstEncoder(_speechbrain.BEATsConfig(dict(cfg)))
        self.predictor = None if config.num_labels is None else MeanOverPatches(config.hidden_size, config.num_labels)
        self.eval()

    def forward(self, input_values: Tensor, attention_mask: Tensor | None = None) -> ModelOutput:
        """`input_values` [clip, frame, mel bin]; `attention_mask` [clip, frame], true where a frame is the clip's own.

        A patch counts where all of its frames do: so a clip has the same patches in a padded batch as alone. The output
        is a BEATsOutput; without a head, where there are no logits, transformers' BaseModelOutput.
        """
        hidden = self.patch_embedding(input_values[:, None])
        bands = hidden.shape[-1]
        hidden = self.layer_norm(hidden.flatten(2).transpose(1, 2))
        if self.post_extract_proj is not None:
            hidden = self.post_extract_proj(hidden)
        padding_mask = self._padding(input_values, attention_mask).repeat_interleave(bands, 1)
        hidden, _ = self.encoder(hidden, padding_mask)
        if self.predictor is None:
            return BaseModelOutput(last_hidden_state=hidden)
        logits = self.predictor(hidden, padding_mask=padding_mask)
        return BEATsOutput(logits=logits, last_hidden_state=hidden)

    def _padding(self, input_values: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Which columns of patches are not wholly a clip's own, [clip, column]."""
        patch = self.config.cfg["input_patch_size"]
        columns = input_values.shape[1] // patch
        if attention_mask is None:
            return torch.zeros(len(input_values), columns, dtype=torch.bool, device=input_values.device)
        return ~attention_mask[:, : columns * patch].bool().unflatten(1, (columns, patch)).all(-1)

    def audio_spec(self) -> AudioSpec:
        """See `sites.audio_spec`. The paper recorded BEATs's linear layers fc1 and fc2, not its attention."""
        bank = FilterBank(patch=self.config.cfg["input_patch_size"])
        frames = PatchColumns(
            hop=bank.patch * HOP / bank.sampling_rate,
            span=bank.minimum_samples / bank.sampling_rate,
            sampling_rate=bank.sampling_rate,
            kernels=(WINDOW, bank.patch),
            strides=(HOP, bank.patch),
            bands=MEL_BINS // bank.patch,
            bins_per_band=bank.patch,
        )
        return AudioSpec(frames=frames, extractor=bank, paper=_PAPER)
