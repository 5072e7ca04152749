"""Large files: the batch that says where they go, single and multipart uploads, verification, ranges of them."""

import json
import re
from typing import TYPE_CHECKING

from tests.hub_server.state import sha256

if TYPE_CHECKING:
    from tests.hub_server.requests import Request


def batch(request: "Request", body: bytes) -> None:
    """For each object: nothing if it is there, else where to send it."""
    hub = request.hub
    if request.token() not in hub.tokens:
        request.send_json(401, {"error": "Invalid username or password."})
        return
    found = []
    for each in json.loads(body)["objects"]:
        oid, size = each["oid"], each["size"]
        entry = {"oid": oid, "size": size}
        if oid not in hub.objects:
            upload = {"href": f"{address(request)}/whole/{oid}?signature={hub.signature}"}
            if 0 < hub.part_bytes < size:
                numbers = range(1, -(-size // hub.part_bytes) + 1)
                urls = {f"{n:05d}": f"{address(request)}/part/{oid}/{n}?signature={hub.signature}" for n in numbers}
                href = f"{address(request)}/complete/{oid}?signature={hub.signature}"
                upload = {"href": href, "header": {"chunk_size": str(hub.part_bytes), **urls}}
            entry["actions"] = {"upload": upload, "verify": {"href": f"{hub.url}/store/verify"}}
        found.append(entry)
    request.send_json(200, {"transfer": "basic", "objects": found})


def address(request: "Request") -> str:
    """Of the store: another host, to which no token may go."""
    return request.hub.url.replace("127.0.0.1", "localhost") + "/store"


def answer(request: "Request", body: bytes) -> None:
    """A request to the store, whose addresses are signed; verification is the Hub's own."""
    hub, what = request.hub, request.parts[1]
    if what == "verify":
        verify(request, body)
        return
    if request.headers.get("Authorization"):
        hub.leaks.append(f"token for /{'/'.join(request.parts)}")
    if request.query.get("signature") != str(hub.signature):
        request.send(403, b"expired")
    elif what == "whole":
        keep(request, request.parts[2], body)
    elif what == "part":
        hub.parts[request.parts[2], int(request.parts[3])] = body
        request.send(200, b"", {"ETag": f'"{sha256(body)[:16]}"'})
    elif what == "complete":
        complete(request, body)
    else:
        send_range(request, hub.objects[what], {})


def keep(request: "Request", oid: str, data: bytes) -> None:
    """Takes a file as it comes, as stores do that compare nothing."""
    request.hub.objects[oid] = data
    request.hub.stored.append(oid)
    request.send(200, b"", {"ETag": f'"{oid[:16]}"'})


def complete(request: "Request", body: bytes) -> None:
    """Puts the parts together, which must be the ones that came."""
    oid = request.parts[2]
    told = json.loads(body)
    found = [request.hub.parts.get((oid, part["partNumber"]), b"") for part in told["parts"]]
    etags = [f'"{sha256(data)[:16]}"' for data in found]
    if told["oid"] != oid or etags != [part["etag"] for part in told["parts"]]:
        request.send_json(400, {"error": "other parts came"})
        return
    keep(request, oid, b"".join(found))


def verify(request: "Request", body: bytes) -> None:
    """Whether a file arrived as it was announced; if not, it is as if it had never come."""
    told = json.loads(body)
    data = request.hub.objects.get(told["oid"], b"")
    if (sha256(data), len(data)) == (told["oid"], told["size"]):
        request.send_json(200, {})
        return
    request.hub.objects.pop(told["oid"], None)
    request.send_json(422, {"error": "the file that arrived is not the one that was announced"})


def send_range(request: "Request", data: bytes, headers: dict[str, str]) -> None:
    """All of it, or the bytes that were asked for."""
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", "").strip())
    if asked and int(asked[1]) >= len(data):
        request.send(416, b"", headers)
    elif asked:
        last = int(asked[2] or len(data) - 1)
        request.send(206, data[int(asked[1]) : last + 1], headers)
    else:
        request.send(200, data, headers)
