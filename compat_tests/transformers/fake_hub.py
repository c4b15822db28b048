"""A Hub on 127.0.0.1 that serves folders and takes commits, for tests of download and upload."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def commit_of(revision: str) -> str:
    """The commit that a revision means, unless it is one."""
    if re.fullmatch("[0-9a-f]{40}", revision):
        return revision
    return hashlib.sha1(revision.encode()).hexdigest()


SHA = commit_of("main")


class FakeHub:
    """What it serves and what came in.

    Attributes:
        url: of the endpoint.
        repos: repository id -> {revision: folder}.
        requests: (method, path, authorization) of each request.
        commits: repository id -> list of (revision, summary, {path: bytes}).
    """

    def __init__(self) -> None:
        self.url = ""
        self.repos: dict[str, dict[str, Path]] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        self.commits: dict[str, list[tuple[str, str, dict[str, bytes]]]] = {}
        self.created: list[dict[str, Any]] = []
        self.branches: list[str] = []

    def folder(self, repo: str, revision: str) -> Path | None:
        commits = {commit_of(name): folder for name, folder in self.repos[repo].items()}
        return commits.get(commit_of(revision))


class Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, status: int, body: Any = b"", **headers: str) -> None:
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def lacks(self, code: str) -> None:
        self.answer(404, {"error": code}, X_Error_Code=code, X_Error_Message=code)

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.hub.requests.append((self.command, path, self.headers.get("Authorization")))
        resolve = re.fullmatch(r"/(.+?)/resolve/([^/]+)/(.+)", path)
        info = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path)
        if not resolve and not info:
            return self.answer(404, {"error": "no such page"})
        repo, revision, name = resolve.groups() if resolve else (*info.groups(), None)
        sha = commit_of(revision or "main")
        if repo not in self.hub.repos:
            return self.lacks("RepoNotFound")
        folder = self.hub.folder(repo, revision or "main")
        if folder is None:
            return self.lacks("RevisionNotFound")
        if name is None:
            return self.answer(200, {"id": repo, "sha": sha, "siblings": [], "tags": []})
        file = folder / name
        if not file.is_file():
            return self.answer(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=sha)
        data = file.read_bytes()
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        length = str(len(data))
        self.answer(200, data, ETag=etag, X_Repo_Commit=sha, Content_Length=length)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        self.hub.requests.append((self.command, self.path, self.headers.get("Authorization")))
        if self.path == "/api/repos/create":
            wanted = json.loads(body)
            self.hub.created.append(wanted)
            repo = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
            self.hub.repos.setdefault(repo, {"main": Path("/nonexistent")})
            return self.answer(200, {"url": f"{self.hub.url}/{repo}", "name": repo, "id": repo})
        if self.path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        branch = re.fullmatch(r"/api/models/(.+)/branch/(.+)", self.path)
        if branch:
            self.hub.branches.append(branch[2])
            return self.answer(200, {})
        found = re.fullmatch(r"/api/models/(.+)/(preupload|commit)/([^/?]+)(\?.*)?", self.path)
        assert found, self.path
        if found[2] == "preupload":
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                for f in json.loads(body)["files"]
            ]
            return self.answer(200, {"files": files})
        lines = [json.loads(line) for line in body.splitlines()]
        summary = next(line["value"]["summary"] for line in lines if line["key"] == "header")
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"])
            for line in lines
            if line["key"] == "file"
        }
        self.hub.commits.setdefault(found[1], []).append((found[3], summary, files))
        url = f"{self.hub.url}/{found[1]}/commit/{SHA}"
        self.answer(200, {"success": True, "commitOid": SHA, "commitUrl": url, "hookOutput": ""})


@contextlib.contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """Serve until the block ends."""
    hub = FakeHub()
    handler = type("Bound", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
