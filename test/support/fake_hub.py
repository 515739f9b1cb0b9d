# SPDX-License-Identifier: Apache-2.0
"""A Hugging Face hub on this machine: as much of its HTTP interface as is needed here, kept in memory."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

TOKEN, USER = "hf_that_may_write", "lab"
_LFS = (".safetensors", ".mp4", ".parquet")
_COMMIT = "0" * 40


class FakeHub:
    """What is on the hub.

    Attributes:
        files: content by "models/USER/NAME" or "datasets/USER/NAME", then by path.
        private: of each repository.
        tags: of each repository.
        calls: method and path of each request.
        broken: paths of the interface that answer 500.
        sent: what was sent of parts of files [byte].
    """

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.tags: dict[str, set[str]] = {}
        self.commits: dict[str, int] = {}
        self.calls: list[tuple[str, str]] = []
        self.broken: set[str] = set()
        self.blobs: dict[str, bytes] = {}  # large files by their SHA-256
        self.url, self.sent = "", 0

    def answer(self, method: str, path: str, body: bytes, token: str) -> tuple[int, Any]:
        """Status and JSON for a request."""
        self.calls.append((method, path))
        if any(part in path for part in self.broken):
            return 500, {"error": "the hub is on fire"}
        if path.startswith("/blobs/"):
            self.blobs[path.removeprefix("/blobs/")] = body
            return 200, {}
        if match := re.fullmatch(r"/((?:datasets/)?[^/]+/[^/]+)/resolve/[^/]+/(.*)", path):
            key = match[1] if match[1].startswith("datasets/") else f"models/{match[1]}"
            content = self.files.get(key, {}).get(match[2])
            return (404, {"error": "Entry not found"}) if content is None else (200, content)
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if token != TOKEN:
            return 401, {"error": "Invalid credentials"}
        if path == "/api/whoami-v2":
            return 200, {"type": "user", "name": USER}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return 200, {"objects": [self._lfs(entry) for entry in json.loads(body)["objects"]]}
        match = re.fullmatch(r"/api/((?:models|datasets)/[^/]+/[^/]+)/([\w-]+)/?(.*)", path)
        if match is None or match[1] not in self.files:
            return 404, {"error": "Repository not found"}
        return self._in_repository(method, match[1], match[2], match[3], body)

    def _create(self, wanted: dict[str, Any]) -> tuple[int, Any]:
        if wanted["organization"] != USER:
            return 403, {"error": f"You have no right to create a model under {wanted['organization']}"}
        key = f"{wanted['type']}s/{wanted['organization']}/{wanted['name']}"
        url = {"url": f"{self.url}/{key.removeprefix('models/')}"}
        if key in self.files:
            return 409, {"error": "You already created this repo", **url}
        self.files[key] = {".gitattributes": b""}
        self.private[key] = wanted.get("visibility") == "private" or wanted.get("private") is True
        self.tags[key], self.commits[key] = set(), 0
        return 200, url

    def _lfs(self, entry: dict[str, Any]) -> dict[str, Any]:
        action = {"upload": {"href": f"{self.url}/blobs/{entry['oid']}"}}
        return {**entry, "actions": action}

    def _in_repository(self, method: str, key: str, what: str, rest: str, body: bytes) -> tuple[int, Any]:
        files = self.files[key]
        if what == "auth-check":
            return 200, {}
        if what == "tree":
            kinds = {"type": "file", "oid": _COMMIT}
            return 200, [{**kinds, "path": name, "size": len(value)} for name, value in files.items()]
        if what == "refs":
            branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": _COMMIT}
            tags = [
                {"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": _COMMIT} for tag in self.tags[key]
            ]
            return 200, {"branches": [branch], "converts": [], "tags": tags}
        if what == "revision":
            siblings = [{"rfilename": name, "size": len(value)} for name, value in files.items()]
            return 200, {"id": key.partition("/")[2], "sha": _COMMIT, "siblings": siblings}
        if what == "paths-info":
            wanted = json.loads(body)["paths"]
            kinds = {"type": "file", "oid": _COMMIT}
            return 200, [
                {**kinds, "path": each, "size": len(files[each])} for each in wanted if each in files
            ]
        if what == "preupload":
            modes = [
                {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(_LFS) else "regular"}
                for f in json.loads(body)["files"]
            ]
            return 200, {"files": [{**mode, "shouldIgnore": False} for mode in modes]}
        if what == "commit":
            for line in body.splitlines():
                self._change(files, json.loads(line))
            self.commits[key] += 1
            return 200, {"commitUrl": f"{self.url}/{key}/commit/{_COMMIT}", "commitOid": _COMMIT}
        if what == "tag" and method == "DELETE":
            if rest not in self.tags[key]:
                return 404, {"error": "Tag not found", "code": "RevisionNotFound"}
            self.tags[key].remove(rest)
            return 200, {}
        if what == "tag":
            self.tags[key].add(json.loads(body)["tag"])
            return 200, {}
        return 404, {"error": f"the fake hub has no {what}"}

    def _change(self, files: dict[str, bytes], line: dict[str, Any]) -> None:
        value = line["value"]
        if line["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            files[value["path"]] = self.blobs[value["oid"]]
        elif line["key"] == "deletedFile":
            del files[value["path"]]


@contextmanager
def running_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """Serve a fake hub, and let huggingface_hub use it, logged in."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def handle_request(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            chunks = self.headers.get("Transfer-Encoding") == "chunked"
            body = self._chunks() if chunks else self.rfile.read(length)
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            status, answer = hub.answer(self.command, unquote(urlsplit(self.path).path), body, token)
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
            if wanted and status == 200:
                status, content = 206, content[int(wanted[1]) : int(wanted[2]) + 1]
                hub.sent += len(content)
            self.send_response(status)
            if isinstance(answer, bytes):
                self.send_header("ETag", f'"{hashlib.sha256(answer).hexdigest()}"')
                self.send_header("X-Repo-Commit", _COMMIT)
            if isinstance(answer, dict) and "code" in answer:
                self.send_header("X-Error-Code", answer["code"])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_request

        def _chunks(self) -> bytes:
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", hub.url)
    files = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", files)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # its storage is not faked
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
