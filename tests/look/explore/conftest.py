"""The dissection of the embedded model, opened as the page opens it, and the page's server for tests to ask."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from and_nnsight import Dissection
from and_nnsight.demo import Sound, make_sounds, tiny_ast_path
from and_nnsight.look.explore.app import ExploreServer
from and_nnsight.look.explore.guard import cookie_name
from and_nnsight.look.explore.opened import OpenedDissection

PORT, TOKEN = 8123, "token-of-a-test"
ADDRESS = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="session")
def sounds() -> list[Sound]:
    return list(make_sounds(per_class=4))


@pytest.fixture(scope="session")
def opened(dissection: Dissection, sounds: list[Sound]) -> OpenedDissection:
    return OpenedDissection(dissection, str(tiny_ast_path()), sounds, seconds=2.0)


@pytest.fixture
def client(opened: OpenedDissection) -> TestClient:
    """A browser that has the token."""
    app = ExploreServer([opened]).app(TOKEN, PORT)
    return TestClient(app, base_url=ADDRESS, cookies={cookie_name(PORT): TOKEN}, headers={"origin": ADDRESS})


def wav_of(sound: Sound, path: Path) -> bytes:
    """A demo sound as a file's bytes."""
    import soundfile

    soundfile.write(path, sound.waveform, sound.sampling_rate, subtype="FLOAT")
    return path.read_bytes()
