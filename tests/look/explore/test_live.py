"""Sound that comes in over the WebSocket is answered with the units that it moves."""

from __future__ import annotations

import json

import numpy as np
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from and_nnsight.audio.loading import load
from and_nnsight.demo import Sound
from and_nnsight.look.explore.hearing import CLEAR, Response
from and_nnsight.look.explore.live import MOST_LISTENERS
from and_nnsight.look.explore.opened import OpenedDissection
from tests.look.explore.conftest import PORT

pytestmark = pytest.mark.slow

RATE = 44_100
LIVE = f"ws://127.0.0.1:{PORT}/live"  # the client would call its host `testserver` else


def chunks(sound: Sound) -> list[bytes]:
    samples = load(sound.waveform, RATE, source_rate=sound.sampling_rate).samples
    return [samples[start : start + RATE // 10].tobytes() for start in range(0, len(samples), RATE // 10)]


def test_the_units_that_a_sound_moves_are_sent(
    client: TestClient, opened: OpenedDissection, sounds: list[Sound]
) -> None:
    with client.websocket_connect(LIVE) as socket:
        socket.send_text(json.dumps({"rate": RATE}))
        socket.send_text(json.dumps({"follow": [["blocks.1.mlp.hook_post", 3]], "explained": False}))
        for chunk in chunks(sounds[5]):
            socket.send_bytes(chunk)
        update = socket.receive_json()
    assert 0 < len(update["units"]) <= 8
    assert [(each["site"], each["unit"]) for each in update["followed"]] == [("blocks.1.mlp.hook_post", 3)]
    ranks = [(min(each["deviation"], CLEAR), min(each["of_record"], 1)) for each in update["units"]]
    assert ranks == sorted(ranks, reverse=True)


@pytest.mark.parametrize(
    "messages",
    [
        ["no json"],
        ["[1]"],
        ['{"rate": "much"}'],
        ['{"rate": 1e12}'],
        ['{"rate": 44100}', b"abc"],
        ['{"rate": 44100}', b"\0" * 4 * 44_100 * 3],
        ['{"rate": 44100}', '{"follow": [["a", -1]]}'],
        ['{"rate": 44100}', json.dumps({"follow": [["a", 1]] * 100})],
        ['{"rate": 44100}', json.dumps({"follow": [["nowhere", 1]]})],
        ['{"rate": 44100}', json.dumps({"follow": [["blocks.1.mlp.hook_post", 10**6]]})],
        ["[" * 100_000],
    ],
)
def test_what_a_page_would_not_send_ends_its_connection(client: TestClient, messages: list[str | bytes]) -> None:
    with client.websocket_connect(LIVE) as socket, pytest.raises(WebSocketDisconnect) as closed:
        for message in messages:
            socket.send_bytes(message) if isinstance(message, bytes) else socket.send_text(message)
        socket.receive_json()
    assert closed.value.code == 1003 and closed.value.reason


def test_samples_that_are_no_numbers_do_no_harm(client: TestClient) -> None:
    wild = np.array([np.nan, np.inf, -np.inf, 1e30] * (RATE // 8), np.float32)
    with client.websocket_connect(LIVE) as socket:
        socket.send_text(json.dumps({"rate": RATE}))
        socket.send_bytes(wild.tobytes())
        assert "units" in socket.receive_json()


def test_a_unit_without_a_scale_is_sent_as_json_that_browsers_read() -> None:
    response = Response("site", 1, 0.5, float("-inf"), float("nan"))
    assert response.to_json() == {"site": "site", "unit": 1, "activation": 0.5, "deviation": None, "of_record": None}


def test_a_model_that_fails_is_said(
    client: TestClient, opened: OpenedDissection, monkeypatch: pytest.MonkeyPatch, sounds: list[Sound]
) -> None:
    def fails(*arguments: object) -> None:
        raise RuntimeError("out of memory" * 50)

    monkeypatch.setattr(opened.hearer, "now", fails)
    with client.websocket_connect(LIVE) as socket, pytest.raises(WebSocketDisconnect) as closed:
        socket.send_text(json.dumps({"rate": RATE}))
        for chunk in chunks(sounds[5]):
            socket.send_bytes(chunk)
        socket.receive_json()
    assert closed.value.code == 1011 and "out of memory" in closed.value.reason
    assert len(closed.value.reason.encode()) <= 123  # more does not go into a frame
    assert not opened.live._streams


def test_pages_that_go_make_room_for_others(client: TestClient, opened: OpenedDissection) -> None:
    for _ in range(2 * MOST_LISTENERS):
        with client.websocket_connect(LIVE) as socket:
            socket.send_text(json.dumps({"rate": RATE}))
    assert not opened.live._streams


def test_a_page_too_many_is_told_so(client: TestClient, opened: OpenedDissection) -> None:
    opened.live._streams.update(range(MOST_LISTENERS))
    try:
        with client.websocket_connect(LIVE) as socket, pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    finally:
        opened.live._streams.clear()
    assert closed.value.code == 1013 and "listening already" in closed.value.reason
