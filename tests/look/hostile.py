"""A small dissection of clips whose labels, captions and names would command a page, a shell or a reader's eye."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from and_nnsight import Dissection
from tests.run.runs import made, quick
from tests.sounds_for_tests import RATE, noise

SITE = "blocks.1.mlp.hook_post"
HOSTILE = (
    "<script>window.struck = 1</script>",
    "</script></style><img src=x onerror='window.struck = 1'>",
    '" onmouseover="window.struck = 1" x="',
    "{{ 7 * 7 }}{% raw %}",
    "javascript:window.struck=1",
    "\u202egnp.exe \u2066and back",
    "a" * 100_000,
    "\x1b[31m\x00\ud800 half a character",
)


def clips() -> list[dict[str, Any]]:
    return [
        {
            "audio": noise(0.3 + 0.02 * index, seed=index), "sampling_rate": RATE,
            "label": HOSTILE[index % len(HOSTILE)], "caption": HOSTILE[(index + 1) % len(HOSTILE)],
            "path": f"{HOSTILE[index % 4]}/{index}.wav",
        }
        for index in range(12)
    ]  # fmt: skip


def hostile_dissection(folder: Path) -> Dissection:
    return quick(made(), clips(), folder, sites=SITE, keep_exemplars=[(SITE, 0), (SITE, 1)])
