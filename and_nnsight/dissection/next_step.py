"""What to run on a dissection, said by whatever lacks it."""

from __future__ import annotations

from ..wording import command
from .dissection import Dissection


def run_first(dissection: Dissection, step: str, *options: str) -> str:
    """The end of a sentence: the command that makes what is lacking; of one on the hub, that it is fetched before."""
    if dissection.address is None:
        return f"run `{command(step, dissection.folder, *options)}` first"
    fetching = command("pull", dissection.address, "DIR")
    return f"fetch it into a folder of your own (`{fetching}`) and run `{command(step, 'DIR', *options)}` there first"
