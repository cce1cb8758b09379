"""Residual streams that are no sum of what the blocks add: what would take them for one is refused."""

from __future__ import annotations

from typing import Any, NoReturn

from transformer_lens.ActivationCache import ActivationCache
from transformer_lens.model_bridge import TransformerBridge


class DecompositionError(NotImplementedError):
    """A decomposition of the residual stream that would not sum up to it."""


class NonAdditiveCache(ActivationCache):
    """A cache of a model whose residual stream is no sum: `accumulated_resid` gives the streams themselves."""

    def decompose_resid(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises DecompositionError."""
        self._refuse("decompose_resid")

    def get_full_resid_decomposition(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises DecompositionError."""
        self._refuse("get_full_resid_decomposition")

    def apply_slice_to_batch_dim(self, *args: Any, **kwargs: Any) -> ActivationCache:
        """The cache of some clips, which refuses the same."""
        return refusing(super().apply_slice_to_batch_dim(*args, **kwargs))

    def _refuse(self, name: str) -> NoReturn:
        bridge: Any = self.model
        raise DecompositionError(
            f"{name}: the parts would not sum up to the residual stream of this {bridge.cfg.architecture}, because "
            f"{bridge.adapter.resid_is_no_sum}; take the streams themselves, with accumulated_resid() or "
            "cache['resid_pre', layer]"
        )


class NonAdditiveBridge(TransformerBridge):
    """A bridge whose caches refuse to take the residual stream for a sum."""

    def run_with_cache(self, *args: Any, **kwargs: Any) -> Any:
        """As TransformerBridge's; the cache is a NonAdditiveCache."""
        output, cache = super().run_with_cache(*args, **kwargs)
        return output, refusing(cache) if isinstance(cache, ActivationCache) else cache


def refusing(cache: ActivationCache) -> ActivationCache:
    """The cache, refusing from now on."""
    cache.__class__ = NonAdditiveCache
    return cache


def refuse_decompositions(bridge: Any) -> None:
    """Let the bridge's caches refuse: TransformerLens makes the bridge and asks the adapter afterwards."""
    if type(bridge) is TransformerBridge:
        bridge.__class__ = NonAdditiveBridge
