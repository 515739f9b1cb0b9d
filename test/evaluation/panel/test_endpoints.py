# SPDX-License-Identifier: Apache-2.0
"""Whatever is sent to the panel's addresses, nothing moves and nothing is written."""

import http.client
import json
import random
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from panel_nodes import PanelNodes
from ros_testing import spinning
from waiting import wait_for

pytestmark = pytest.mark.slow
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "CONNECT")
PATHS = (
    "/", "/beat", "/stop", "/joints", "/camera/top.jpg", "/camera/..%2f..%2fetc%2fpasswd.jpg",
    "/scene/../../etc/passwd", "/thumbnail/0.jpg", "/thumbnail/-1.jpg", "/thumbnail/1e9.jpg", "/docs",
    "/openapi.json", "/_nicegui", "/_nicegui_ws/socket.io/?EIO=4&transport=polling", "//etc/passwd",
    "/..%2f..%2fetc%2fpasswd", "/static/../../etc/passwd", "/%00", "/camera/" + "x" * 5000 + ".jpg",
)  # fmt: skip
SECRET = b"root:"


class Web:
    """Plain HTTP, without a browser's care."""

    def __init__(self, address: str) -> None:
        self.parts = urlsplit(address)

    def ask(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection(self.parts.hostname, self.parts.port, timeout=20.0)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): v for name, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        except (http.client.HTTPException, ConnectionError, ValueError):
            return 0, b"", {}
        finally:
            connection.close()

    def cookie(self, query: str) -> str:
        return self.ask("GET", f"/?{query}")[2].get("set-cookie", "").split(";")[0]


def files(folder: Path) -> dict[str, float]:
    return {str(path): path.stat().st_mtime for path in folder.rglob("*") if path.is_file()}


def bodies(chance: random.Random) -> bytes:
    kinds = (
        b"", b"{}", b"null", json.dumps({"browser": "x", "act": "start_episode", "id": [[[]]]}).encode(),
        chance.randbytes(200), b"40" + chance.randbytes(20), b'42["event",{"client_id":"x","id":1}]' * 20,
    )  # fmt: skip
    return chance.choice(kinds)


def test_whatever_is_sent_nothing_moves_and_nothing_is_written(start_panel, tmp_path, monkeypatch) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    nodes, chance = PanelNodes(), random.Random(0)
    with spinning(nodes):
        web = Web(start_panel())
        before = files(work)
        token = web.parts.query
        watch = next(line for line in start_panel.child.output().splitlines() if "watch" in line).split("?")[
            1
        ]
        assert web.ask("GET", "/")[0] == 403 and web.ask("GET", "/?token=wrong")[0] == 403
        operator, watcher = web.cookie(token), web.cookie(watch)
        assert operator and watcher and operator != watcher
        forged = watcher.replace("=watch.", "=operate.")
        cookies = ("", "dit_policy_panel=x", forged, operator[:-1] + "0", operator + "\x01")
        for cookie in cookies:  # without a token nothing answers, not even STOP
            for path in PATHS:
                for method in ("GET", "POST"):
                    assert web.ask(method, path, Cookie=cookie)[0] in (0, 400, 403), (cookie, path)
        evil = {"Cookie": operator, "Origin": "http://evil.example"}
        assert web.ask("POST", "/stop", **evil)[0] == web.ask("POST", "/beat", **evil)[0] == 403
        for _ in range(400):
            cookie, path = (
                chance.choice((operator, watcher)),
                chance.choice([p for p in PATHS if p != "/stop"]),
            )
            path += chance.choice(("", "?", "?token=1", "?n=" + "9" * 30, "%2e%2e/", ";x=1"))
            method = chance.choice(METHODS)
            status, answer, _ = web.ask(method, path, bodies(chance), Cookie=cookie)
            assert status < 500 and SECRET not in answer, (method, path, status)
        assert nodes.called == [], "no service was called"
        assert start_panel.child.alive and web.ask("GET", "/", Cookie=operator)[0] == 200
        assert files(work) == before, "nothing was written"
        assert web.ask("POST", "/stop", Cookie=watcher)[0] == 200, "a watcher may stop"
        wait_for(lambda: "/policy/e_stop" in nodes.names, 10.0, "the stop arrives")
        assert set(nodes.names) == {"/policy/e_stop"}
    assert "Traceback" not in start_panel.child.output()
