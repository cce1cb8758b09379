"""Pure, typed tensor functions: pool a site's frames, keep the top K, accumulate moments.

Plain torch (and einops), no state, no synchronisation with a GPU. Annotations are never evaluated at run time.
"""

from .moments import MomentsState, empty_moments, moments_merge, moments_update, variance
from .pooling import POOLINGS, Pooled, pool, pool_max, pool_max_on_cpu
from .topk import TopKState, empty_topk, topk_merge, topk_update

__all__ = [
    "POOLINGS",
    "MomentsState",
    "Pooled",
    "TopKState",
    "empty_moments",
    "empty_topk",
    "moments_merge",
    "moments_update",
    "pool",
    "pool_max",
    "pool_max_on_cpu",
    "topk_merge",
    "topk_update",
    "variance",
]
