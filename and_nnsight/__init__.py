"""What does each neuron of an acoustic transformer listen for? Audio Network Dissection on nnsight."""

from __future__ import annotations

import logging

import lazy_loader

from . import nnsight_save

__version__ = "0.1.0"
nnsight_save.install()
logging.getLogger(__name__).addHandler(logging.NullHandler())  # quiet, until whoever uses it says otherwise

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
