"""What README and the guides show: code blocks, in order.

A block runs unless its first line is `# not run by the tests: WHY`, or unless CI runs it by its name (`<!-- NAME -->` above
it). A `text` block right below a python block is what that prints; … stands for anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).parents[2]
ORDER = (
    "start",
    "quickstart",
    "concepts",
    "model",
    "data",
    "dissect",
    "parts",
    "explain",
    "verdicts",
    "notebook",
    "tables",
    "exchange",
    "hub",
    "report",
    "gallery",
    "explore",
    "hear",
    "unlearn",
    "dictionaries",
    "readers",
    "speech",
    "findings",
    "compare",
    "config",
    "plugins",
    "clusters",
    "ndif",
    "transformerlens",
    "format",
)
PAGES = (
    ROOT / "README.md",
    *(
        ROOT / "docs" / f"{name}.md"
        for name in (*ORDER, "README", "index", "paper", "limits", "faq", "models", "releasing")
    ),
)
NOT_RUN = "# not run by the tests: "
_BLOCK = re.compile(
    r"(?:<!-- (?P<name>[^>]+) -->\s*)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """A code block of a page."""

    page: str
    line: int
    language: str
    code: str
    name: str | None
    printed: str | None
    """what the page says that it prints"""

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.page}:{self.line}"

    @property
    def runs(self) -> bool:
        """Whether the tests run it where it stands."""
        wanted = self.language == "python" or (self.language == "sh" and self.name is None)
        return wanted and not self.code.startswith(NOT_RUN)

    @property
    def commands(self) -> list[str]:
        """The shell's lines, without comments."""
        return [line for line in self.code.splitlines() if line and not line.startswith("#")]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page."""
    text = page.read_text(encoding="utf-8")
    every = list(_BLOCK.finditer(text))
    for block, below in zip_longest(every, every[1:]):
        shows = below is not None and below["language"] == "text" and not text[block.end() : below.start()].strip()
        yield Block(
            page=page.relative_to(ROOT).as_posix(),
            line=text.count("\n", 0, block.start("code")) + 1,
            language=block["language"],
            code=block["code"],
            name=block["name"],
            printed=below["code"] if shows and block["language"] == "python" and below is not None else None,
        )
