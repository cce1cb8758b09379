"""A loopback NDIF: nnsight 0.8's remote clients talk to it unmodified, and it can be told to misbehave.

    python -P ndif_server [--port 8000] [--settings '{"dtype": "bfloat16"}'] [--store FOLDER]

Statuses, their order and their wording, the HTTP codes and what is kept for whom follow ndif 0.1.2; blocks run in the
server's own process, as they do there for trusted callers. Models are read from the folder that a request names.
`faults.Settings` are given at start or changed while running (POST /_faults). GET /_log tells what each job was and how
many bytes went each way: HTTP bodies and websocket frames, without headers, and without the calls that start with `/_`.

Run it where the package under test cannot be imported: shipping code by value is then really exercised.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

# Before nnsight, which hangs `save` on every object: classes that anyio defines later would refuse it.
import anyio._backends._asyncio
import anyio.abc  # noqa: F401
import torch
import uvicorn
from endpoints import build
from state import State, write
from wire import Wire


def end_with_parent() -> None:
    sys.stdin.buffer.read()  # returns when whoever started this server is gone, however it went
    os._exit(0)


def bound(port: int) -> socket.socket:
    """A listening socket; a port that is still taken is waited for, as a server just killed may hold it a moment."""
    for last in [False] * 100 + [True]:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            return listener
        except OSError:
            listener.close()
            if last:
                raise
            time.sleep(0.1)
    raise AssertionError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON, see Settings")
    parser.add_argument(
        "--store", type=Path, default=Path("store"), help="where responses and results outlive the server"
    )
    parser.add_argument("--announce", type=Path, help="a file to write the address to, once listening")
    parser.add_argument("--threads", type=int, default=1, help="torch's")
    parser.add_argument("--end-with-parent", action="store_true", help="end when standard input does")
    options = parser.parse_args()
    if options.end_with_parent:
        threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(options.threads)
    state = State(options.settings, options.store.resolve())
    listener = bound(options.port)
    listener.listen(128)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = Wire(build(state, address), state)
    if options.announce:
        write(options.announce, address.encode())
    print(address, flush=True)
    # Pings would cut a client that a loaded machine keeps from answering.
    config = uvicorn.Config(
        app,
        http="h11",
        ws="websockets-sansio",
        lifespan="off",
        log_level="warning",
        ws_ping_interval=None,
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[listener])
    os._exit(0)  # whatever the model thread still does


if __name__ == "__main__":
    main()
