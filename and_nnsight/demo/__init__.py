"""The embedded default: synthetic sounds whose attributes are known, and a tiny AST trained on them. Works offline."""

from __future__ import annotations

from pathlib import Path

from .sounds import CLASSES, SAMPLING_RATE, Sound, make_sound, make_sounds

__all__ = ["CLASSES", "SAMPLING_RATE", "Sound", "make_sound", "make_sounds", "tiny_ast_path"]


def tiny_ast_path() -> Path:
    """The folder of the embedded model: `transformers` loads it as an `ASTForAudioClassification`."""
    return Path(__file__).parent / "tiny_ast"
