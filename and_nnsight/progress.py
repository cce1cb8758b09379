"""The progress bar of a run: clips done, clips a second, time left, clips set aside."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Clips a second over the last while."""
        speed = task.finished_speed or task.speed
        return Text("– clips/s" if speed is None else f"{speed:.1f} clips/s")


class ClipProgress:
    """A bar on standard error; `show=False` shows nothing."""

    def __init__(self, total: int | None, start: int = 0, show: bool = True, title: str = "dissecting") -> None:
        self._title = title
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not show,
        )
        self._aside, self._told = 0, ""
        self._task = self._progress.add_task(title, total=total, completed=start)

    def __enter__(self) -> ClipProgress:
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the bar as it stands."""
        self._progress.stop()

    def advance(self, clips: int, set_aside: int = 0) -> None:
        """So many more clips are done, of which some were set aside."""
        self._aside += set_aside
        self._progress.update(self._task, advance=clips, description=self._description())

    def tell(self, said: str) -> None:
        """Say in a few words what goes on."""
        if said != self._told:
            self._told = said
            self._progress.update(self._task, description=self._description())

    def _description(self) -> str:
        parts = [f"{self._aside} set aside" if self._aside else "", self._told]
        notes = escape("; ".join(part for part in parts if part))
        return f"{self._title} ({notes})" if notes else self._title
