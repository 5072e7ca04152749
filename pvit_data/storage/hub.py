"""Byte ranges of a repository on the Hugging Face Hub, at one commit.

A branch moves on while a dataset is read; a commit does not. So the revision is looked up once, and from then on every
file is of that commit. Where a file really lies (a signed address in some store) is also asked once, and again when
the address has expired; the client's own file system asks before every read.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pvit_data.errors import UsageError
from pvit_data.storage.turns import Turns
from pvit_data.storage.web import INWARD, PLAIN, TIMEOUT, Bounded, Refused, is_inside

MAX_REDIRECTS = 5
EXPIRED = frozenset({400, 401, 403, 404, 410})  # what stores answer to an outdated signature


def require_online() -> None:
    """Refuses to ask the Hub where the user's environment says so.

    Raises:
        UsageError: naming the variable.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise UsageError(
            "HF_HUB_OFFLINE is set, so the Hub is not asked: unset it to publish, pull or read from there"
        )


@dataclass
class HubCommit:
    """A folder of a repository at one commit.

    Args:
        kind: `"dataset"`, `"model"` or `"space"`.
        repo: its id, `"owner/name"`.
        commit: hash of the commit.
        folder: within the repository, "" for all of it.
        endpoint: address of the Hub.
        token: as the client's file system has it.
    """

    kind: str
    repo: str
    commit: str
    folder: str
    endpoint: str | None
    token: Any = field(repr=False)
    _places: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict, repr=False)
    _turns: Turns = field(default_factory=Turns, repr=False)

    @classmethod
    def find(cls, fs: Any, prefix: str, commit: str = "") -> HubCommit | None:
        """The commit behind a path of the client's file system; None for a bucket, which has no commits.

        Args:
            fs: `huggingface_hub.HfFileSystem`.
            prefix: path in it: `datasets/owner/name@revision/folder`.
            commit: hash, if it is known already.

        Raises:
            UsageError: if the environment says that the Hub is not to be asked.
            Exception: what the client raises.
        """
        from huggingface_hub import HfApi

        require_online()
        for name in ("httpx", "httpx2"):  # which log signed addresses
            logging.getLogger(name).setLevel(logging.WARNING)
        found = fs.resolve_path(prefix)
        if not hasattr(found, "repo_id"):
            return None
        api = HfApi(endpoint=fs.endpoint, token=fs.token)
        commit = commit or str(
            api.repo_info(found.repo_id, repo_type=found.repo_type, revision=found.revision).sha
        )
        return cls(
            found.repo_type, found.repo_id, commit, found.path_in_repo, fs.endpoint, fs.token
        )

    @property
    def path(self) -> str:
        """The folder at this commit, for the client's file system."""
        kind = "" if self.kind == "model" else f"{self.kind}s/"
        return f"{kind}{self.repo}@{self.commit}/{self.folder}".rstrip("/")

    def read_range(self, name: str, start: int, size: int) -> bytes:
        """Bytes `start` to `start + size` of a file; fewer where it ends before.

        Raises:
            Exception: what the client raises.
        """
        known = self._places.get(name)
        url, headers = known or self._find_once(name)
        asked = headers | {"Range": f"bytes={start}-{start + size - 1}"}
        data = self._fetch(url, asked, size, EXPIRED if known else frozenset())
        if data is None:
            if self._places.get(name) is known:  # another thread may have been quicker
                self._places.pop(name, None)
            return self.read_range(name, start, size)
        return data

    def _find_once(self, name: str) -> tuple[str, dict[str, str]]:
        with self._turns.at(name):
            return self._places.get(name) or self._find(name)

    def _fetch(
        self, url: str, headers: dict[str, str], size: int, expired: frozenset[int]
    ) -> bytes | None:
        """The asked bytes, or None where the address has expired. Tokens go nowhere but where `url` leads."""
        from huggingface_hub import get_session

        for _ in range(MAX_REDIRECTS):
            with get_session().stream(
                "GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=False
            ) as response:
                if response.is_redirect:
                    url = str(response.url.join(response.headers["Location"]))
                    self._require_open(url)
                    headers = {k: v for k, v in headers.items() if k in ("Range", *PLAIN)}
                    continue
                if response.status_code in expired:
                    return None
                if response.status_code == 416:  # begins behind the end
                    return b""
                response.raise_for_status()
                body = Bounded(size, response.headers)
                for piece in response.iter_raw():
                    body.add(piece)
                return body.whole()
        raise Refused(f"the server sends its readers on and on, more than {MAX_REDIRECTS} times")

    def _require_open(self, url: str) -> None:
        """Refuses a way from a public Hub into one's own network.

        Raises:
            Refused: if it is one.
        """
        if is_inside(urlsplit(url).hostname or "") and not is_inside(
            urlsplit(str(self.endpoint)).hostname or "", wholly=True
        ):
            raise Refused(INWARD)

    def _find(self, name: str) -> tuple[str, dict[str, str]]:
        """Address of a file, and the headers to send there: the token stays with the Hub."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url, utils

        path = f"{self.folder}/{name}".lstrip("/")
        url = hf_hub_url(
            self.repo, path, repo_type=self.kind, revision=self.commit, endpoint=self.endpoint
        )
        place = get_hf_file_metadata(
            url, token=self.token, timeout=TIMEOUT, endpoint=self.endpoint
        ).location
        self._require_open(place)
        own = place.startswith(f"{str(self.endpoint).rstrip('/')}/")
        headers: dict[str, str] = utils.build_hf_headers(token=self.token) if own else {}  # type: ignore[attr-defined]
        self._places[name] = place, {**PLAIN, **headers}
        return self._places[name]
