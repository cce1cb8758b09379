"""Annotations over time: words, phones, speakers and pauses of clips, read from what aligners and people write."""

from __future__ import annotations
