"""From a dataset to batches of model inputs: `open_source`, then `batches`."""

from and_nnsight.stream._items import UNKNOWN, Item, Source, Unused
from and_nnsight.stream._workers import WorkerDied
from and_nnsight.stream.batches import Batch, Clip, Quarantined, batches
from and_nnsight.stream.sources import open_source

__all__ = [
    "UNKNOWN",
    "Batch",
    "Clip",
    "Item",
    "Quarantined",
    "Source",
    "Unused",
    "WorkerDied",
    "batches",
    "open_source",
]
