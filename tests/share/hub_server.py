"""A stand-in for the hub: as much of its HTTP interface as repositories of files need, in memory.

Tokens: `hf_writer` may write, `hf_reader` may read; without one, public repositories only.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = (".parquet", ".safetensors", ".npy", ".flac")
FORBIDDEN_LICENSE = "no-such-licence"


@dataclass
class Repository:
    private: bool
    commits: dict[str, dict[str, str]] = field(default_factory=dict)  # sha: path: sha256 of the content
    branches: dict[str, str] = field(default_factory=dict)

    def add(self, branch: str, files: dict[str, str]) -> str:
        sha = hashlib.sha1(json.dumps([branch, len(self.commits), files]).encode()).hexdigest()
        self.commits[sha], self.branches[branch] = files, sha
        return sha


@dataclass
class Hub:
    repositories: dict[str, Repository] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)
    uploads_left: int | None = None
    downloads: int = 0
    pause: float = 0.0  # seconds that each file takes
    url: str = ""

    def blob(self, content: bytes) -> str:
        key = hashlib.sha256(content).hexdigest()
        self.blobs[key] = content
        return key


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def handle(self) -> None:
        with suppress(ConnectionError):  # of a client that was killed
            super().handle()

    def log_message(self, *arguments: object) -> None:
        pass

    def answer(self, status: int, body: object = b"", **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status: int, code: str, message: str) -> None:
        self.answer(status, {"error": message}, X_Error_Code=code, X_Error_Message=message)

    @property
    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_POST(self) -> None:
        path, content = unquote(urlsplit(self.path).path), self.body()
        if path == "/api/validate-yaml":
            wrong = FORBIDDEN_LICENSE in json.loads(content)["content"]
            errors = [{"message": '"license" must be one of [apache-2.0, mit, cc-by-4.0]'}] if wrong else []
            self.answer(400 if wrong else 200, {"errors": errors, "warnings": []})
        elif path.endswith("/info/lfs/objects/batch"):
            self.batch(json.loads(content))
        elif self.token != "hf_writer":
            known = self.token == "hf_reader"
            self.refuse(
                403 if known else 401, "", "You need write access" if known else "Invalid username or password."
            )
        elif path == "/api/repos/create":
            self.create(json.loads(content))
        elif found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/(preupload|commit|branch)/(.+)", path):
            repository = self.hub.repositories[found[1]]
            getattr(self, found[2])(repository, found[3], content)
        elif found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/paths-info/(.+)", path):
            self.paths_info(found[1], found[2], content)
        else:
            self.refuse(404, "", path)

    def create(self, wanted: dict) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        there = name in self.hub.repositories
        if not there:
            private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
            self.hub.repositories[name] = Repository(private)
            self.hub.repositories[name].add("main", {".gitattributes": self.hub.blob(b"*.parquet lfs\n")})
        self.answer(409 if there else 200, {"url": f"{self.hub.url}/datasets/{name}", "name": name, "id": "1"})

    def branch(self, repository: Repository, branch: str, content: bytes) -> None:
        there = branch in repository.branches
        repository.branches.setdefault(branch, repository.branches["main"])
        self.answer(409 if there else 200, {})

    def preupload(self, repository: Repository, branch: str, content: bytes) -> None:
        files = [
            {"path": each["path"], "uploadMode": "lfs" if each["path"].endswith(LARGE) else "regular",
             "shouldIgnore": False}
            for each in json.loads(content)["files"]
        ]  # fmt: skip
        self.answer(200, {"files": files})

    def batch(self, wanted: dict) -> None:
        objects = []
        for each in wanted["objects"]:
            href = f"{self.hub.url}/lfs/{each['oid']}"
            more = {} if each["oid"] in self.hub.blobs else {"actions": {"upload": {"href": href, "header": {}}}}
            objects.append({"oid": each["oid"], "size": each["size"], **more})
        self.answer(200, {"transfer": "basic", "objects": objects}, Content_Type="application/vnd.git-lfs+json")

    def do_PUT(self) -> None:
        key, content = self.path.rpartition("/")[2], self.body()
        time.sleep(self.hub.pause)
        if self.hub.uploads_left is not None and self.hub.uploads_left <= 0:
            self.refuse(400, "", "the line went dead")
            return
        if self.hub.uploads_left is not None:
            self.hub.uploads_left -= 1
        assert self.hub.blob(content) == key
        self.hub.uploads.append(key)
        self.answer(200)

    def commit(self, repository: Repository, branch: str, content: bytes) -> None:
        files = dict(repository.commits[repository.branches[branch]])
        for line in map(json.loads, content.splitlines()):
            key, value = line["key"], line["value"]
            if key == "file":
                files[value["path"]] = self.hub.blob(base64.b64decode(value["content"]))
            elif key == "lfsFile":
                assert value["oid"] in self.hub.blobs
                files[value["path"]] = value["oid"]
            elif key == "deletedFile":
                del files[value["path"]]
        sha = repository.add(branch, files)
        self.answer(200, {"commitUrl": f"{self.hub.url}/datasets/x/y/commit/{sha}", "commitOid": sha, "success": True})

    def files_at(self, name: str, revision: str) -> tuple[str, dict[str, str]] | None:
        """The commit and its files; None where a refusal was sent."""
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not self.token.startswith("hf_")):
            self.refuse(401, "RepoNotFound", "Repository not found")
            return None
        sha = repository.branches.get(revision, revision)
        if sha not in repository.commits:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        return sha, repository.commits[sha]

    def entries(self, files: dict[str, str]) -> list[dict]:
        entries = []
        for path, key in sorted(files.items()):
            size = len(self.hub.blobs[key])
            large = {"lfs": {"oid": key, "size": size, "pointerSize": 100}} if path.endswith(LARGE) else {}
            entries.append({"type": "file", "path": path, "oid": key[:40], "size": size, **large})
        return entries

    def paths_info(self, name: str, revision: str, content: bytes) -> None:
        there = self.files_at(name, revision)
        if there is not None:
            wanted = json.loads(content)["paths"]
            self.answer(200, [entry for entry in self.entries(there[1]) if entry["path"] in wanted])

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            there = self.files_at(found[1], found[2] or "main")
            if there is not None:
                siblings = [{"rfilename": name} for name in there[1]]
                private = self.hub.repositories[found[1]].private
                self.answer(200, {"id": found[1], "sha": there[0], "private": private, "siblings": siblings})
        elif found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/tree/([^/]+)(?:/(.+))?", path):
            self.tree(found[1], found[2], found[3])
        elif found := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self.resolve(found[1], found[2], found[3])
        elif self.path == "/dies":
            self.hub.uploads_left = 2
            self.answer(200)
        elif self.path == "/lives":
            self.hub.uploads_left = None
            self.answer(200)
        else:
            self.refuse(404, "", path)

    do_HEAD = do_GET

    def tree(self, name: str, revision: str, under: str | None) -> None:
        there = self.files_at(name, revision)
        if there is None:
            return
        entries = self.entries(there[1])
        if under:
            entries = [entry for entry in entries if entry["path"].startswith(f"{under}/")]
            if not entries:
                self.refuse(404, "EntryNotFound", under)
                return
        if "recursive=true" not in self.path.lower():
            depth = len(under.split("/")) if under else 0
            folders = {"/".join(e["path"].split("/")[: depth + 1]) for e in entries if e["path"].count("/") > depth}
            entries = [entry for entry in entries if entry["path"].count("/") == depth]
            entries += [{"type": "directory", "path": folder, "oid": "0" * 40, "size": 0} for folder in sorted(folders)]
        self.answer(200, entries)

    def resolve(self, name: str, revision: str, path: str) -> None:
        there = self.files_at(name, revision)
        if there is None:
            return
        sha, files = there
        if path not in files:
            self.refuse(404, "EntryNotFound", "Entry not found")
            return
        if self.command == "GET":
            self.hub.downloads += 1
            time.sleep(self.hub.pause)
        content, status, more = self.hub.blobs[files[path]], 200, {}
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last = int(found[1]), min(int(found[2] or len(content) - 1), len(content) - 1)
            more = {"Content_Range": f"bytes {first}-{last}/{len(content)}"}
            content, status = content[first : last + 1], 206
        about = {"ETag": f'"{files[path]}"', "X_Repo_Commit": sha, "Accept_Ranges": "bytes", **more}
        self.answer(status, content, **about)


@contextmanager
def running_hub() -> Iterator[Hub]:
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
