"""Fused kernels in Triton, for GPUs: ids, values, frames and ties equal the torch path's. Imported only where used."""

from .pooling import pool_max
from .topk import topk_update_in_place

__all__ = ["pool_max", "topk_update_in_place"]
