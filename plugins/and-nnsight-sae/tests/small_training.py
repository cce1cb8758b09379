"""A training of a second."""

from __future__ import annotations

from typing import Any

SITE = "blocks.1.hook_resid_post"
OPTIONS: dict[str, Any] = {
    "site": SITE, "width": 96, "k": 4, "steps": 60, "frames_a_step": 128, "held_out": 0.25, "progress": False,
}  # fmt: skip
