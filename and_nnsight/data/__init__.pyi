# The public names of `data`, once: `__init__.py` imports each on first use (SPEC 1), type checkers read this.
from .batching import Batch as Batch
from .batching import ClipLengths as ClipLengths
from .batching import batches as batches
from .items import UNKNOWN as UNKNOWN
from .items import Clip as Clip
from .items import Item as Item
from .items import Quarantined as Quarantined
from .items import Source as Source
from .items import Unused as Unused
from .sources import open_source as open_source
from .workers import WorkerDied as WorkerDied
