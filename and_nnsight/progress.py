"""Progress bars, all of one look, on standard error: what is done, of how many, how fast, and the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._per_second = f" {unit}/s" if unit else "/s"

    def render(self, task: Task) -> Text:
        """How many a second over the last while."""
        speed = task.finished_speed or task.speed
        return Text(("–" if speed is None else f"{speed:.1f}") + self._per_second)


def _bar(show: bool, unit: str = "") -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(unit),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not show,
    )


@contextmanager
def step_progress(description: str, total: int | None, show: bool) -> Iterator[Callable[[int], None]]:
    """Show a bar while open; call what it gives with the number of things that are newly done."""
    with _bar(show) as bar:
        task = bar.add_task(description, total=total)
        yield lambda more: bar.advance(task, more)


class ClipProgress:
    """The bar of a pass over clips, which also says how many were set aside, and what goes on."""

    def __init__(self, total: int | None, start: int = 0, show: bool = True, title: str = "dissecting") -> None:
        self._bar = _bar(show, "clips")
        self._title, self._set_aside, self._note = title, 0, ""
        self._task = self._bar.add_task(title, total=total, completed=start)

    def __enter__(self) -> ClipProgress:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()

    def advance(self, clips: int, set_aside: int = 0) -> None:
        """So many more clips are done, of which some were set aside."""
        self._set_aside += set_aside
        self._bar.update(self._task, advance=clips, description=self._description())

    def tell(self, note: str) -> None:
        """Say in a few words what goes on."""
        if note != self._note:
            self._note = note
            self._bar.update(self._task, description=self._description())

    def _description(self) -> str:
        parts = [f"{self._set_aside} set aside" if self._set_aside else "", self._note]
        notes = escape("; ".join(part for part in parts if part))
        return f"{self._title} ({notes})" if notes else self._title
