"""Ways to feed the same statistics: nnsight traces (`trace`) and plain torch hooks (`hooks`).

Each calls `update(site name, activations [clip, frame, unit], clip ids, frame mask)` once a site and batch, while the
model runs, so that no activation outlives its site.
"""
