"""Accumulators over the kernels: mergeable, resumable, exact."""
