"""The progress bar of a pass over clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


@contextmanager
def pass_progress(total: int | None, start: int, show: bool) -> Iterator[Callable[[int], None]]:
    """A bar on standard error; gives the function that says how many more clips are done."""
    with Progress(*Progress.get_default_columns(), console=Console(stderr=True), disable=not show) as bar:
        task = bar.add_task("measuring", total=total, completed=start)
        yield lambda clips: bar.advance(task, clips)
