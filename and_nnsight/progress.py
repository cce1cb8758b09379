"""Progress bars, all of one look: what is done, of how many, how fast, and the time left.

On standard error; in a notebook as one line of HTML, which its own display protocol keeps up to date: no widgets.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape as escape_html
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

_LAST_WHILE = 600.0
"""Seconds that a rate is of, or as many as a thousand steps took: a batch of a large model may take a minute."""


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._per_second = f" {unit}/s" if unit else "/s"

    def render(self, task: Task) -> Text:
        """How many a second over the last while."""
        speed = task.finished_speed or task.speed
        return Text(("–" if speed is None else f"{speed:.1f}") + self._per_second)


def _bar(show: bool, unit: str = "") -> Progress:
    numbers = (MofNCompleteColumn(), _Rate(unit), TimeRemainingColumn())
    if show and _in_notebook():
        return NotebookProgress(*numbers)
    return Progress(
        TextColumn("{task.description}"), BarColumn(), *numbers, console=Console(stderr=True), disable=not show,
        speed_estimate_period=_LAST_WHILE,
    )  # fmt: skip


def _in_notebook() -> bool:
    """Whether output goes to a notebook's page: there is a kernel behind the shell."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class NotebookProgress(Progress):
    """A bar in a notebook's page: a line of HTML, shown once and then replaced, at most five times a second."""

    _PAUSE = 0.2  # seconds

    def __init__(self, *columns: ProgressColumn) -> None:
        console = Console(stderr=True, force_jupyter=False)
        super().__init__(*columns, auto_refresh=False, console=console, speed_estimate_period=_LAST_WHILE)
        self._display: Any = None
        self._shown_at = 0.0

    def start(self) -> None:
        """Show it, as it stands now."""
        from IPython.display import HTML, display

        self._display = display(HTML(self._html()), display_id=True)

    def stop(self) -> None:
        """Leave it as it stands now."""
        self._update()

    def update(self, *arguments: Any, **options: Any) -> None:
        """As of every bar; it shows within a fifth of a second."""
        super().update(*arguments, **options)
        self._update_if_due()

    def advance(self, *arguments: Any, **options: Any) -> None:
        """As of every bar; it shows within a fifth of a second."""
        super().advance(*arguments, **options)
        self._update_if_due()

    def _update_if_due(self) -> None:
        if time.monotonic() - self._shown_at >= self._PAUSE:
            self._update()

    def _update(self) -> None:
        from IPython.display import HTML

        if self._display is not None:
            self._display.update(HTML(self._html()))
        self._shown_at = time.monotonic()

    def _html(self) -> str:
        return "".join(map(self._line, self.tasks))

    def _line(self, task: Task) -> str:
        title = Text.from_markup(task.description).plain
        numbers = " ".join(str(column(task)).strip() for column in self.columns if isinstance(column, ProgressColumn))
        total = "" if task.total is None else f' value="{task.completed:g}" max="{task.total:g}"'
        bar = f'<progress{total} style="width:16em;vertical-align:middle"></progress>'
        return f'<div style="font-family:monospace">{escape_html(title)} {bar} {escape_html(numbers)}</div>'


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
