"""The bridge of an audio encoder: what TransformerLens's says of a decoder is true of it, or refused."""

from __future__ import annotations

from typing import Any, NoReturn

from torch import Tensor
from transformer_lens.ActivationCache import ActivationCache
from transformer_lens.model_bridge import TransformerBridge

from .plain import submodule
from .residual import DecompositionError, encoder_cache


class EncoderBridge(TransformerBridge):
    """A TransformerBridge whose caches are EncoderCaches."""

    adapter: Any  # an EncoderArchitectureAdapter

    def run_with_cache(self, *args: Any, **kwargs: Any) -> Any:
        """As TransformerBridge's; the cache is an EncoderCache."""
        output, cache = super().run_with_cache(*args, **kwargs)
        return output, encoder_cache(cache) if isinstance(cache, ActivationCache) else cache

    def encoder_output(self, frames: Tensor, one_zero_attention_mask: Tensor | None = None) -> Tensor:
        """What the encoder gives for frames [clip, frame, unit], which are put in behind the front end.

        one_zero_attention_mask  1 for a frame of the clip's own, 0 for padding [clip, frame]

        It is the model's own encoder that runs, so that norms and positions come where the model has them. Raises
        NotImplementedError for an encoder without such frames, ValueError for a tensor that is none.
        """
        path = self.adapter.frames_enter
        if path is None:
            raise NotImplementedError(
                f"encoder_output puts frames in behind convolutions over a waveform, and a {self.cfg.architecture} has "
                "none: use a hook on what you want to change"
            )
        if frames.ndim != 3:
            raise ValueError(f"frames are [clip, frame, unit], not a tensor of {frames.ndim} axes")
        mask = None if one_zero_attention_mask is None else one_zero_attention_mask.to(frames.device).bool()
        # Cloned: the encoder sets padding to zero in place.
        return self._encoder(path)(frames.clone(), attention_mask=mask).last_hidden_state

    def _encoder(self, path: str) -> Any:
        return submodule(self.original_model, path)

    def tokens_to_residual_directions(self, tokens: Any) -> Tensor:
        """The directions at each position, before `ln_final` but under its scale, that the logits of classes are along.

        They have the final norm's weight in them, which no bridge of sound folds into W_U. Raises DecompositionError
        where logits are not read off single positions.
        """
        self.need_direct_readout("logit_attrs")
        final: Any = self.ln_final
        return super().tokens_to_residual_directions(tokens) * final.weight

    def need_direct_readout(self, name: str) -> None:
        """Raise DecompositionError unless the logits are `ln_final` and `unembed` of each position of the stream."""
        if "unembed" not in self._modules:
            raise DecompositionError(f"{name}: this {self.cfg.architecture} has no head, and so no logits")
        if not self.adapter.reads_out_directly:
            raise DecompositionError(
                f"{name}: this {self.cfg.architecture} has no logits that are ln_final and then unembed of a position "
                "of the stream: what its head does besides (pooling, projection, another norm) has to be applied to "
                "each part by hand, as examples/ast_on_the_bridge.py of and-nnsight-lens does for AST"
            )

    def accumulated_bias(self, *args: Any, **kwargs: Any) -> Tensor:
        """As TransformerBridge's, where what is added sums up to the stream; else DecompositionError."""
        if self.adapter.stream.no_sum is not None:
            raise DecompositionError(
                f"accumulated_bias: biases do not pile up in the stream of this {self.cfg.architecture}, because "
                f"{self.adapter.stream.no_sum}"
            )
        return super().accumulated_bias(*args, **kwargs)

    def process_weights(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises NotImplementedError: TransformerLens's folding and centring is written for decoders of tokens."""
        self._no_processing("process_weights")

    def enable_compatibility_mode(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises NotImplementedError, as `process_weights` does."""
        self._no_processing("enable_compatibility_mode")

    def _no_processing(self, name: str) -> NoReturn:
        raise NotImplementedError(
            f"{name} is not for this {self.cfg.architecture}: folding and centring of weights is written for decoders "
            "of tokens, and nothing was changed; use the bridge as it is"
        )


def make_encoder_bridge(bridge: Any) -> None:
    """Let a bridge be an EncoderBridge: TransformerLens makes the bridge and asks the adapter afterwards."""
    if type(bridge) is TransformerBridge:
        bridge.__class__ = EncoderBridge
