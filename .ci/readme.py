"""Print one of README.md's shell commands: `python readme.py NAME` prints the block after `<!-- NAME -->`."""

import re
import sys
from pathlib import Path

text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
found = re.search(rf"<!-- {re.escape(sys.argv[1])} -->\s*```sh\n(.*?)```", text, re.DOTALL)
if found is None:
    sys.exit(f"README.md has no shell block named {sys.argv[1]!r}")
print(found[1].strip())
