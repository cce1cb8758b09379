"""Encoders that ship with the package: texts, and audio and text, as vectors."""
