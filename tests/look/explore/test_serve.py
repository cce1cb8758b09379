"""The address is good from the moment that it is said."""

from __future__ import annotations

import socket

from and_nnsight.look.explore.serve import _listen


def test_who_opens_the_address_at_once_is_not_refused() -> None:
    with _listen(0) as listening, socket.create_connection(listening.getsockname(), timeout=5):
        pass
