"""Taking the residual stream apart: what is true of an encoder's, and a cache that refuses what is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor
from transformer_lens.ActivationCache import ActivationCache
from transformer_lens.utilities.slice import Slice


class DecompositionError(NotImplementedError):
    """A decomposition of the residual stream that would not sum up to it, or a reading that is not the model's own."""


@dataclass(frozen=True)
class Stream:
    """What is true of the residual stream of an encoder.

    no_sum            why attn_out and mlp_out of all blocks do not sum up to it; None where they do
    norms_come_first  whether each block's ln1 and ln2 are norms of the stream itself, as `apply_ln` takes for granted
    one_width         whether it has the same width and length in all blocks
    whole_mlp         whether all of mlp_out is added to it
    pooled_before_norm  whether the last norm is of averages over frames of the stream
    """

    no_sum: str | None = None
    norms_come_first: bool = True
    one_width: bool = True
    whole_mlp: bool = True
    pooled_before_norm: bool = False


class EncoderCache(ActivationCache):
    """A cache that takes the stream apart where the parts are parts of it, and raises DecompositionError elsewhere."""

    def decompose_resid(
        self,
        layer: int | None = None,
        mlp_input: bool = False,
        mode: str = "all",
        apply_ln: bool = False,
        pos_slice: Any = None,
        incl_embeds: bool = True,
        return_labels: bool = False,
    ) -> Any:
        """As ActivationCache's; with what adapter layers add, as `{layer}_adapter_out`, last and in mode "all"."""
        self._need_sum("decompose_resid")
        kind: Any = mode
        parts: Any = super().decompose_resid(layer, mlp_input, kind, apply_ln, pos_slice, incl_embeds, True)
        if mode == "all":
            parts = self._and_adapters(parts, layer, pos_slice, mlp_input if apply_ln else None)
        return parts if return_labels else parts[0]

    def get_full_resid_decomposition(
        self,
        layer: int | None = None,
        mlp_input: bool = False,
        expand_neurons: bool = True,
        apply_ln: bool = False,
        pos_slice: Any = None,
        return_labels: bool = False,
        project_output_onto: Tensor | None = None,
    ) -> Any:
        """As ActivationCache's; with what adapter layers add, as `{layer}_adapter_out`, last."""
        self._need_sum("get_full_resid_decomposition")
        options: Any = {"return_labels": True, "project_output_onto": project_output_onto}
        parts: Any = super().get_full_resid_decomposition(
            layer, mlp_input, expand_neurons, apply_ln, pos_slice, **options
        )
        parts = self._and_adapters(parts, layer, pos_slice, mlp_input if apply_ln else None, project_output_onto)
        return parts if return_labels else parts[0]

    def accumulated_resid(
        self,
        layer: int | None = None,
        incl_mid: bool = False,
        apply_ln: bool = False,
        pos_slice: Any = None,
        mlp_input: bool = False,
        return_labels: bool = False,
    ) -> Any:
        """As ActivationCache's."""
        self._need_one_width("accumulated_resid")
        if (incl_mid or mlp_input) and "blocks.0.hook_resid_mid" not in self._bridge.hook_dict:
            self._refuse(
                "accumulated_resid", "there is no one stream between attention and MLP", "leave out the middle"
            )
        return super().accumulated_resid(layer, incl_mid, apply_ln, pos_slice, mlp_input, return_labels)

    def apply_ln_to_stack(
        self,
        residual_stack: Tensor,
        layer: int | None = None,
        mlp_input: bool = False,
        pos_slice: Any = None,
        batch_slice: Any = None,
        has_batch_dim: bool = True,
        recompute_ln: bool = False,
    ) -> Tensor:
        """As ActivationCache's."""
        self._need_norm("apply_ln", layer)
        return super().apply_ln_to_stack(
            residual_stack, layer, mlp_input, pos_slice, batch_slice, has_batch_dim, recompute_ln
        )

    def stack_head_results(
        self,
        layer: int = -1,
        return_labels: bool = False,
        incl_remainder: bool = False,
        pos_slice: Any = None,
        apply_ln: bool = False,
    ) -> Any:
        """As ActivationCache's: what each head adds in its own block."""
        self._need_one_width("stack_head_results")
        if incl_remainder:
            self._need_sum("the remainder of stack_head_results")
        return super().stack_head_results(layer, return_labels, incl_remainder, pos_slice, apply_ln)

    def get_neuron_results(self, *args: Any, **kwargs: Any) -> Tensor:
        """As ActivationCache's: what each neuron adds in its own block."""
        if not self._stream.whole_mlp:
            self._refuse(
                "get_neuron_results",
                "half of what its feed-forwards give is added to the stream",
                "take cache['post', layer] and bridge.blocks[layer].mlp.W_out",
            )
        return super().get_neuron_results(*args, **kwargs)

    def stack_neuron_results(
        self,
        layer: int,
        pos_slice: Any = None,
        neuron_slice: Any = None,
        return_labels: bool = False,
        incl_remainder: bool = False,
        apply_ln: bool = False,
        project_output_onto: Tensor | None = None,
        mlp_input: bool = False,
    ) -> Any:
        """As ActivationCache's."""
        self._need_one_width("stack_neuron_results")
        if incl_remainder:
            self._need_sum("the remainder of stack_neuron_results")
        if apply_ln:
            self._need_norm("apply_ln", layer)
        options: Any = {"project_output_onto": project_output_onto, "mlp_input": mlp_input}
        return super().stack_neuron_results(
            layer, pos_slice, neuron_slice, return_labels, incl_remainder, apply_ln, **options
        )

    def stack_activation(self, *args: Any, **kwargs: Any) -> Tensor:
        """As ActivationCache's."""
        self._need_one_width("stack_activation")
        return super().stack_activation(*args, **kwargs)

    def logit_lens(self, **kwargs: Any) -> Any:
        """As ActivationCache's, of heads that read each position through `ln_final` and `unembed` alone."""
        self._bridge.need_direct_readout("logit_lens")
        return super().logit_lens(**kwargs)

    def apply_slice_to_batch_dim(self, *args: Any, **kwargs: Any) -> ActivationCache:
        """The cache of some clips, which refuses the same."""
        return encoder_cache(super().apply_slice_to_batch_dim(*args, **kwargs))

    @property
    def _bridge(self) -> Any:
        return self.model

    @property
    def _stream(self) -> Stream:
        return self._bridge.adapter.stream

    def _need_sum(self, name: str) -> None:
        if self._stream.no_sum is None:
            return
        streams = "accumulated_resid() or " if self._stream.one_width else ""
        raise DecompositionError(
            f"{name}: the parts would not sum up to the residual stream of this {self._bridge.cfg.architecture}, "
            f"because {self._stream.no_sum}; take the streams themselves, with {streams}cache['resid_pre', layer]"
        )

    def _need_one_width(self, name: str) -> None:
        if not self._stream.one_width:
            self._refuse(name, f"{self._stream.no_sum}", "take each layer by itself, with cache[name, layer]")

    def _need_norm(self, name: str, layer: int | None) -> None:
        last = self._bridge.cfg.n_layers
        if layer in (None, -1, last):
            if "ln_final" not in self._bridge._modules:
                self._refuse(name, "there is no norm behind its last block", "leave it out")
            if self._stream.pooled_before_norm:
                self._refuse(name, "its last norm is of averages over frames, not of the stream", "leave it out")
        elif not self._stream.norms_come_first:
            at = f"cache['blocks.{layer}.ln1.hook_in']"
            self._refuse(name, "the norms of its blocks are of other tensors than the stream that enters", f"see {at}")

    def _refuse(self, name: str, why: str, instead: str) -> NoReturn:
        raise DecompositionError(f"{name} is not for this {self._bridge.cfg.architecture}: {why}; {instead}")

    def _and_adapters(
        self, parts: tuple[Tensor, list[str]], layer: int | None, pos_slice: Any, ln: bool | None, onto: Any = None
    ) -> tuple[Tensor, list[str]]:
        """The parts, and what each adapter layer before a layer adds; under that layer's norm if `ln` tells which."""
        count = self._bridge.cfg.n_layers if layer in (None, -1) else layer
        layers = [index for index in range(count) if "adapter_layer" in self._bridge.blocks[index]._modules]
        if not layers:
            return parts
        positions = pos_slice if isinstance(pos_slice, Slice) else Slice(pos_slice)
        added = [positions.apply(self[f"blocks.{index}.adapter_layer.hook_out"], dim=-2) for index in layers]
        more = torch.stack(added)
        if ln is not None:
            more = self.apply_ln_to_stack(more, layer, ln, positions)
        if onto is not None:
            more = more @ onto
        return torch.cat([parts[0], more]), [*parts[1], *(f"{index}_adapter_out" for index in layers)]


def encoder_cache(cache: ActivationCache) -> EncoderCache:
    """The cache, taken apart as an encoder's from now on."""
    cache.__class__ = EncoderCache
    of_encoder: Any = cache
    return of_encoder
