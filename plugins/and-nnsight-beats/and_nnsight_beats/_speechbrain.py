"""SpeechBrain's BEATs, imported without what importing SpeechBrain does to torch's settings.

The import turns TF32 on for every matrix product of the process and JIT profiling off. Whoever imported SpeechBrain
before has made that choice; we do not make it.
"""

from __future__ import annotations

import os

_VARIABLE = "SB_DISABLE_QUIRKS"
_before = os.environ.get(_VARIABLE)
os.environ[_VARIABLE] = "allow_tf32,disable_jit_profiling,disable_cudnn_benchmarking"
try:
    from speechbrain.lobes.models.beats import BEATsConfig, MultiheadAttention, TransformerEncoder
finally:
    if _before is None:
        del os.environ[_VARIABLE]
    else:
        os.environ[_VARIABLE] = _before

__all__ = ["BEATsConfig", "MultiheadAttention", "TransformerEncoder"]
