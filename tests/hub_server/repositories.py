"""The API: who one is, repositories with their files, commits, tags and pull requests; small files themselves."""

import base64
import json
from typing import TYPE_CHECKING, Any

from tests.hub_server import xet
from tests.hub_server.state import Repository, git_id, sha256
from tests.hub_server.store import address, send_range

if TYPE_CHECKING:
    from tests.hub_server.requests import Request

NO_REPOSITORY = {"X-Error-Code": "RepoNotFound"}


def answer(request: "Request", body: bytes) -> None:
    """Any request to the Hub."""
    hub = request.hub
    parts = request.parts
    path = "/".join(parts)
    is_known = request.token() in hub.tokens
    if request.token() and not is_known:
        hidden = {} if path == "api/whoami-v2" else NO_REPOSITORY  # which the client then says
        request.send_json(401, {"error": 'User Access Token "mine" is expired'}, hidden)
    elif path == "api/whoami-v2":
        whoami(request, is_known)
    elif path == "api/validate-yaml":
        request.send_json(200, {"errors": [], "warnings": []})
    elif path == "api/repos/create":
        create(request, json.loads(body), is_known)
    else:
        in_repository(request, parts, body, is_known)


def whoami(request: "Request", is_known: bool) -> None:
    if not is_known:
        request.send_json(401, {"error": "Invalid username or password."})
        return
    token = {"displayName": "mine", "role": "write"}
    auth = {"type": "access_token", "accessToken": token}
    request.send_json(200, {"type": "user", "name": "me", "orgs": [], "auth": auth})


def create(request: "Request", told: dict[str, Any], is_known: bool) -> None:
    hub = request.hub
    kind = told.get("type", "model")
    name = f"{told.get('organization') or 'me'}/{told['name']}"
    url = f"{hub.url}/{'' if kind == 'model' else f'{kind}s/'}{name}"
    if not is_known or not hub.may_write:
        request.send_json(403, {"error": "You don't have the rights to create a repository here"})
    elif (kind, name) in hub.repositories:
        request.send_json(409, {"error": "You already created this repo", "url": url})
    else:
        private = told.get("visibility") == "private" or bool(told.get("private"))
        repository = hub.repositories[kind, name] = Repository(kind, name, private)
        repository.push({".gitattributes": b"*.tar filter=lfs\n"}, title="initial commit")
        request.send_json(200, {"url": url, "name": name, "id": name})


def in_repository(request: "Request", parts: list[str], body: bytes, is_known: bool) -> None:
    """`api/datasets/OWNER/NAME/...`, `datasets/OWNER/NAME/resolve/...`, of models without `datasets`."""
    is_api = parts[0] == "api"
    rest = parts[1:] if is_api else parts
    kind = "model"
    if rest[0] in ("datasets", "models"):
        kind, rest = rest[0].removesuffix("s"), rest[1:]
    repository = request.hub.repositories.get((kind, "/".join(rest[:2])))
    action, rest = (rest[2], rest[3:]) if len(rest) > 2 else ("", [])
    if not is_known:
        request.hub.leaks.append(f"no token for /{'/'.join(parts)}")
    if repository is None or (repository.private and not is_known):
        request.send_json(404 if is_known else 401, {"error": "Repository not found"}, NO_REPOSITORY)
        return
    if action == "discussions":
        merge(request, repository, int(rest[0]))
        return
    commit = repository.find(rest[0] if rest else "main")
    if commit is None:
        request.send_json(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        return
    files = repository.commits[commit]
    if action == "resolve":
        resolve(request, files, "/".join(rest[1:]), commit)
    elif action == "tree":
        tree(request, files, "/".join(rest[1:]))
    elif action == "paths-info":
        wanted = json.loads(body)["paths"]
        request.send_json(200, [entry(request, files, p) for p in wanted if p in files])
    elif action in ("preupload", "commit", "tag"):
        if not is_known or not request.hub.may_write:
            request.send_json(403, {"error": "You don't have the rights to write to this repository"})
        else:
            WRITES[action](request, repository, rest[0], commit, body)
    elif action == "xet-write-token" and request.hub.has_xet:
        xet.token(request)
    elif action not in ("", "revision"):  # such as the tokens of a store that it does not have
        request.send_json(404, {"error": "Sorry, we can't find the page you are looking for."})
    else:
        info = {"id": repository.id, "sha": commit, "private": repository.private, "tags": []}
        request.send_json(200, info)


def preupload(request: "Request", repository: Repository, _: str, commit: str, body: bytes) -> None:
    """Which files go to the store, and what the repository has under their names."""
    files = repository.commits[commit]
    found = []
    for each in json.loads(body)["files"]:
        name = each["path"]
        large = request.hub.is_large(name, each["size"])
        row = {"path": name, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        if name in files:
            row["oid"] = sha256(files[name]) if large else git_id(files[name])
        found.append(row)
    request.send_json(200, {"files": found})


def commit(request: "Request", repository: Repository, branch: str, head: str, body: bytes) -> None:
    """All lines of it, or nothing."""
    lines = [json.loads(line) for line in body.splitlines()]
    header = lines[0]["value"]
    if header.get("parentCommit", head) != head:
        request.send_json(412, {"error": "A commit has happened since. Please refresh and try again."})
        return
    files = dict(repository.commits[head])
    for line in lines[1:]:
        value = line["value"]
        name = value["path"]
        if line["key"] == "file":
            files[name] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            data = request.hub.objects.get(value["oid"])
            if data is None or len(data) != value["size"]:
                request.send_json(400, {"error": f"{name}: LFS object is not there"})
                return
            files[name] = data
        elif line["key"] == "deletedFile":
            del files[name]
        else:
            files = {n: data for n, data in files.items() if not n.startswith(name)}
    answered = {"success": True, "hookOutput": ""}
    if request.query.get("create_pr"):
        number = len(repository.bases) + 1
        branch = f"refs/pr/{number}"
        repository.bases[branch] = head
        answered["pullRequestUrl"] = f"{request.hub.url}/datasets/{repository.id}/discussions/{number}"
    made = repository.push(files, branch, header["summary"])
    url = f"{request.hub.url}/datasets/{repository.id}/commit/{made}"
    request.send_json(200, answered | {"commitUrl": url, "commitOid": made})


def merge(request: "Request", repository: Repository, number: int) -> None:
    """A pull request becomes main, where main is still what it was."""
    branch = f"refs/pr/{number}"
    if repository.heads["main"] != repository.bases[branch]:
        request.send_json(409, {"error": "main has moved on"})
        return
    repository.push(repository.commits[repository.heads[branch]], title=f"merge {branch}")
    request.send_json(200, {})


def tag(request: "Request", repository: Repository, _: str, commit: str, body: bytes) -> None:
    name = json.loads(body)["tag"]
    if name in repository.tags:
        request.send_json(409, {"error": f"Tag {name} exists already"})
        return
    repository.tags[name] = commit
    request.send_json(200, {})


WRITES = {"preupload": preupload, "commit": commit, "tag": tag}


def resolve(request: "Request", files: dict[str, bytes], name: str, commit: str) -> None:
    """A small file itself; for a large one its signed address in the store."""
    if name not in files:
        request.send(404, b"", {"X-Error-Code": "EntryNotFound"})
        return
    hub, data = request.hub, files[name]
    if not hub.is_large(name, len(data)):
        headers = {"X-Repo-Commit": commit, "ETag": f'"{git_id(data)}"'}
        send_range(request, data, headers)
        return
    oid = sha256(data)
    hub.objects.setdefault(oid, data)
    headers = {
        "X-Repo-Commit": commit,
        "ETag": f'"{oid}"',
        "X-Linked-Size": str(len(data)),
        "X-Linked-Etag": f'"{oid}"',
    }
    request.send(302, b"", headers | {"Location": f"{address(request)}/{oid}?signature={hub.signature}"})


def tree(request: "Request", files: dict[str, bytes], folder: str) -> None:
    """The rows of a folder, a page of them."""
    rows = listing(request, files, folder, request.query.get("recursive", "").lower() == "true")
    first = int(request.query.get("cursor", 0))
    page = rows[first : first + request.hub.page]
    headers = {}
    if first + len(page) < len(rows):
        place = request.path.partition("?")[0]
        query = f"recursive={request.query.get('recursive', 'False')}&cursor={first + len(page)}"
        headers["Link"] = f'<{request.hub.url}{place}?{query}>; rel="next"'
    request.send_json(200, page, headers)


def entry(request: "Request", files: dict[str, bytes], name: str) -> dict[str, object]:
    data = files[name]
    row: dict[str, object] = {"type": "file", "path": name, "size": len(data), "oid": git_id(data)}
    if request.hub.is_large(name, len(data)):
        row["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 130}
    return row


def listing(request: "Request", files: dict[str, bytes], folder: str, deep: bool) -> list[dict[str, object]]:
    inside = [name for name in files if name.startswith(f"{folder}/" if folder else "")]
    start = len(folder) + 1 if folder else 0
    ends = {name[:end] for name in inside for end in range(start, len(name)) if name[end] == "/"}
    folders = sorted(name for name in ends if deep or "/" not in name[start:])
    return [{"type": "directory", "path": name, "oid": "0" * 40, "size": 0} for name in folders] + [
        entry(request, files, name) for name in sorted(inside) if deep or "/" not in name[start:]
    ]
