"""From a dataset to batches of model inputs: `open_source`, then `batches`."""

from .batches import Batch, Clip, ClipLengths, Quarantined, batches
from .items import UNKNOWN, Item, Source, Unused
from .sources import open_source
from .workers import WorkerDied

__all__ = [
    "UNKNOWN",
    "Batch",
    "Clip",
    "ClipLengths",
    "Item",
    "Quarantined",
    "Source",
    "Unused",
    "WorkerDied",
    "batches",
    "open_source",
]
