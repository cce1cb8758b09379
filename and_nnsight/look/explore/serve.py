"""Serve the page on this machine until it is stopped."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Sequence
from typing import Any

import torch
import uvicorn

from ...dissection.dissection import Dissection
from .app import ExploreServer
from .opened import OpenedDissection

_QUEUE = 16  # messages of a page that wait, at most
_LARGEST_MESSAGE = 2**21


def explore(
    dissections: Sequence[Dissection],
    model: Any = None,
    data: Any = None,
    *,
    port: int = 0,
    on_ready: Callable[[str], None] = print,
) -> None:
    """Serve a page on 127.0.0.1: browse dissections, search them by words and by sound, sing into them, silence units.

    model    what was dissected, where it is no longer under its name: of all dissections, or a list with one of each
             (None: by its name); False: browse without a model
    data     what was dissected, where its sounds have to be read again and are not in files
    port     0: a free one
    on_ready  is given the address to open, which carries a token: nobody else can use the page

    Returns when it is interrupted. Raises OSError, saying so, for a port that is taken; ValueError for models that are
    not as many as the dissections.
    """
    models = _one_each(model, len(dissections))
    opened = [OpenedDissection(each, own, data) for each, own in zip(dissections, models, strict=True)]
    torch.set_num_threads(min(2, torch.get_num_threads()))  # more only wait for each other on windows this short
    token = secrets.token_urlsafe(24)
    listening = _listen(port)
    taken = listening.getsockname()[1]
    config = uvicorn.Config(
        ExploreServer(opened).app(token, taken),
        log_level="warning",
        access_log=False,
        ws="websockets-sansio",
        ws_max_size=_LARGEST_MESSAGE,
        ws_max_queue=_QUEUE,
        timeout_graceful_shutdown=2,
        server_header=False,
    )
    on_ready(f"http://127.0.0.1:{taken}/?token={token}")
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        listening.close()


def _one_each(model: Any, count: int) -> list[Any]:
    """A model for each of so many dissections. Raises ValueError for a list of another length."""
    if not isinstance(model, list | tuple):
        return [model] * count
    if len(model) not in (1, count):
        raise ValueError(
            f"{len(model)} models for {count} dissections: name one for all, or one for each, in their order"
        )
    return list(model) * (count if len(model) == 1 else 1)


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()  # who opens the address at once waits until it is served
    except OSError as error:
        listening.close()
        raise OSError(
            f"port {port} of 127.0.0.1 cannot be had ({error.strerror}): leave --port out for a free one"
        ) from error
    return listening
