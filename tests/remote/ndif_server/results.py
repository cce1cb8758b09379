"""What a block saved, as it travels home."""

from __future__ import annotations

import importlib
import io
import pickle
import types

import cloudpickle
import torch
import zstandard


class ResultPickler(pickle.Pickler):
    """Classes and functions that came by value, or were born in the block, go home by value."""

    def reducer_override(self, value):
        if not isinstance(value, type | types.FunctionType):
            return NotImplemented
        try:
            found = importlib.import_module(value.__module__)
            for part in value.__qualname__.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError):
            found = None
        return NotImplemented if found is value else (pickle.loads, (cloudpickle.dumps(value),))


RESULT_PICKLE = types.ModuleType("result_pickle")
RESULT_PICKLE.__dict__.update({**vars(pickle), "Pickler": ResultPickler})


def blob_of(saved: object, compress: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(saved, buffer, pickle_module=RESULT_PICKLE)
    return zstandard.ZstdCompressor(level=3).compress(buffer.getvalue()) if compress else buffer.getvalue()
