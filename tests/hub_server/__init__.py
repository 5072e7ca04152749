"""A stand-in for the Hugging Face Hub and its store on loopback, for the calls of its own client.

Written from the observed behaviour of the client, not from its code. Threads of the test's own process: `serve_hub()`
gives a `Hub`, which holds what was published and tells what was asked. What goes wrong is said by `Fault`s.

- `state`: repositories, commits, the store, faults, what was asked
- `requests`: one request: its body in pieces, which fault hits it, who answers
- `repositories`: the API: create, info, tree, preupload, commits, tags, pull requests, files
- `store`: large files: batch, single and multipart uploads, verification, ranges
- `xet`: the other way to send them: chunks, and what files they make
"""

from tests.hub_server.requests import serve_hub
from tests.hub_server.state import REPO, TOKEN, Fault, Hub, Repository

__all__ = ["REPO", "TOKEN", "Fault", "Hub", "Repository", "serve_hub"]
