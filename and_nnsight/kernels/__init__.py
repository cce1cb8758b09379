"""Pure, typed tensor functions: pool a site's frames, keep the top K, accumulate moments, compare with concepts.

Plain torch (and einops), no state, no synchronisation with a GPU. Annotations are never evaluated at run time.
"""

from .average_precision import (
    average_precision,
    average_precision_at,
    bin_edges,
    bins_of,
    count_in_bins,
    exact_average_precision,
)
from .correlation import CrossState, cosine, cosine_cubed, cross_merge, cross_of, cross_update, empty_cross, pearson
from .frame_sums import (
    FrameSums,
    add_clip,
    count_clip,
    empty_frame_sums,
    frame_pearson,
    frame_t,
    frame_z,
    merge_frame_sums,
)
from .fused import fused_kernels
from .moments import MomentsState, dyadic_nodes, join, variance
from .pooling import POOLINGS, Pooled, pool, pool_frames, pool_max, pool_max_on_cpu
from .topk import TopKState, as_candidates, best_clips, border_ties, empty_topk, in_total_order, topk_merge, topk_update

__all__ = [
    "POOLINGS",
    "CrossState",
    "FrameSums",
    "MomentsState",
    "Pooled",
    "TopKState",
    "add_clip",
    "as_candidates",
    "average_precision",
    "average_precision_at",
    "best_clips",
    "bin_edges",
    "bins_of",
    "border_ties",
    "cosine",
    "cosine_cubed",
    "count_clip",
    "count_in_bins",
    "cross_merge",
    "cross_of",
    "cross_update",
    "dyadic_nodes",
    "empty_cross",
    "empty_frame_sums",
    "empty_topk",
    "exact_average_precision",
    "frame_pearson",
    "frame_t",
    "frame_z",
    "fused_kernels",
    "in_total_order",
    "join",
    "merge_frame_sums",
    "pearson",
    "pool",
    "pool_frames",
    "pool_max",
    "pool_max_on_cpu",
    "topk_merge",
    "topk_update",
    "variance",
]
