"""Nobody but the page's own browser is let in."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from and_nnsight.look.explore.app import ExploreServer
from and_nnsight.look.explore.guard import MOST_BYTES, cookie_name
from and_nnsight.look.explore.opened import OpenedDissection
from tests.explain.small_dissection import small_dissection
from tests.look.explore.conftest import ADDRESS, PORT, TOKEN


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> OpenedDissection:
    """Of numbers, without a model: what is on the page does not tell who is let in."""
    return OpenedDissection(small_dissection(tmp_path_factory.mktemp("guard") / "run"), False, [])


@pytest.fixture
def stranger(opened: OpenedDissection) -> TestClient:
    return TestClient(ExploreServer([opened]).app(TOKEN, PORT), base_url=ADDRESS, follow_redirects=False)


@pytest.mark.parametrize("path", ["/", "/api/overview", "/static/player.js", "/sound/x", "/card?site=a&unit=0"])
def test_without_the_token_nothing_is_answered(stranger: TestClient, path: str) -> None:
    assert stranger.get(path).status_code == 403
    assert stranger.get(path, headers={"cookie": f"{cookie_name(PORT)}={TOKEN[:-1]}"}).status_code == 403
    assert stranger.get(f"{path}{'&' if '?' in path else '?'}token=wrong").status_code == 403


def test_the_first_address_gives_a_cookie_and_the_token_leaves_the_address(stranger: TestClient) -> None:
    response = stranger.get(f"/?token={TOKEN}")
    assert (response.status_code, response.headers["location"]) == (303, "/")
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert stranger.get("/", headers={"cookie": f"{cookie_name(PORT)}={TOKEN}"}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}", ""])
def test_another_name_for_this_address_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/api/overview", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://[", "https://127.0.0.1", f"http://127.0.0.1:{PORT + 1}", "file://"],
)
def test_requests_from_other_pages_are_refused(client: TestClient, origin: str) -> None:
    assert client.get("/api/overview", headers={"origin": origin}).status_code == 403
    assert client.post("/api/sound", content=b"x", headers={"origin": origin}).status_code == 403
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect(f"ws://127.0.0.1:{PORT}/live", headers={"origin": origin}),
    ):
        pass


def test_the_token_leads_to_the_page_only(stranger: TestClient) -> None:
    response = stranger.get(f"//evil.example/?token={TOKEN}")
    assert (response.status_code, response.headers["location"]) == (303, "/")


def test_cookies_of_other_servers_on_this_machine_do_no_harm(stranger: TestClient) -> None:
    beside = f'a:b/c[]=1; {cookie_name(PORT + 1)}=other; json={{"x": 1}}; {cookie_name(PORT)}={TOKEN}; broken'
    assert stranger.get("/api/overview", headers={"cookie": beside}).status_code == 200
    assert stranger.get("/", headers={"cookie": f"{cookie_name(PORT + 1)}={TOKEN}"}).status_code == 403


def test_what_changes_something_must_say_where_it_comes_from(opened: OpenedDissection) -> None:
    silent = TestClient(ExploreServer([opened]).app(TOKEN, PORT), base_url=ADDRESS, cookies={cookie_name(PORT): TOKEN})
    assert silent.get("/api/overview").status_code == 200
    assert silent.post("/api/sound", content=b"x").status_code == 403


def test_large_requests_are_not_read(client: TestClient) -> None:
    assert client.post("/api/sound", content=b"\0" * (MOST_BYTES + 1)).status_code == 413

    def chunks() -> object:  # without a length in its header
        for _ in range(MOST_BYTES // 2**20 + 2):
            yield b"\0" * 2**20

    assert client.post("/api/sound", content=chunks()).status_code == 413  # an iterator will do


def test_every_answer_forbids_scripts_from_elsewhere(client: TestClient) -> None:
    for path in ("/", "/api/overview", "/static/player.js", "/nothing"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
