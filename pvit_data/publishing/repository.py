"""A repository on the Hub: what is in it, sending files ahead, one commit that makes them visible.

Files go to the store first, each in a call of its own: what arrived whole is never sent again, whoever is killed when.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pvit_data.errors import PvitError, StorageError, UsageError
from pvit_data.publishing.connection import (
    WAITS,
    Connection,
    in_words,
    is_of_store,
    passes,
    reason,
)
from pvit_data.publishing.files import File
from pvit_data.storage.hub import EXPIRED
from pvit_data.storage.remote import asked_to_wait, status_of
from pvit_data.storage.storage import Storage

REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
"""What repositories are called: OWNER/NAME."""
UNLIKED = re.compile(r"--|\.\.|\.git\Z")
"""What the Hub does not like in that."""
BRANCHES = ("main", "HEAD")
"""What git and the Hub call something else than a tag."""
NO_TAG = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\A[-/.]|/\.|[/.]\Z|\.lock(?:/|\Z)|\A@\Z")
"""What no name of a tag has in it, as git has it."""


@dataclass(frozen=True)
class There:
    """A repository at a commit.

    Args:
        commit: its hash.
        private: whether not everybody sees it.
        files: (bytes, sha256 of the contents or "" where the Hub tells none, git's id) by name.
    """

    commit: str
    private: bool
    files: dict[str, tuple[int, str, str]]

    def has(self, file: File, storage: Storage) -> bool:
        """Whether a file is there as it is here; one whose sha256 the Hub tells is not opened."""
        size, sha256, git = self.files.get(file.name, (-1, "", ""))
        if size != file.size:
            return False
        if sha256:
            return sha256 == file.sha256
        data = storage.read(file.name, file.size) if file.data is None else file.data
        return git == git_id(data)

    def is_after(self, files: Sequence[File], gone: Sequence[str], storage: Storage) -> bool:
        """Whether a commit that adds these files and removes those was made."""
        return not set(gone) & self.files.keys() and all(self.has(f, storage) for f in files)


def require_tag_name(name: str) -> None:
    """Refuses what cannot be the name of a tag.

    Raises:
        UsageError: then.

    >>> require_tag_name("v1.0")
    """
    if NO_TAG.search(name):
        raise UsageError(
            f"--tag {name!r}: is no name of a tag: no blanks, none of ~ ^ : ? * [ \\, no '..', and no '.', '/' or '-' "
            "in front; give one such as v1.0"
        )
    if name in BRANCHES:
        raise UsageError(
            f"--tag {name}: is what is published last, under any tag: give a name such as v1.0"
        )


class Repository:
    """A repository of somebody.

    Args:
        connection: to the Hub.
        repo: owner/name.
        kind: `"dataset"` or `"model"`.

    Raises:
        UsageError: if the name is none.
    """

    def __init__(self, connection: Connection, repo: str, kind: str = "dataset") -> None:
        if not REPO.fullmatch(repo) or UNLIKED.search(repo):
            raise UsageError(
                f"--repo {repo!r}: expected OWNER/NAME, of letters, digits, '-', '_' and '.', "
                "without '--' or '..', not ending in '.git'"
            )
        self.repo, self.kind = repo, kind
        self._connection, self._api = connection, connection.api

    @property
    def url(self) -> str:
        """Where people see it."""
        kind = "" if self.kind == "model" else f"{self.kind}s/"
        return f"{self._api.endpoint}/{kind}{self.repo}"

    def require_token(self) -> str:
        """Asks who one is: an expired token reads as a missing repository elsewhere.

        Returns:
            The user's name.

        Raises:
            UsageError: if there is no token.
            StorageError: if it is not accepted.
        """
        return str(self._connection.tried(self._api.whoami, "the Hub")["name"])

    def look(self, revision: str = "main") -> There | None:
        """What is there; None where there is no such repository.

        Raises:
            StorageError: if the Hub does not answer.
        """
        from huggingface_hub.errors import RepositoryNotFoundError

        def ask() -> There | None:
            try:
                info: Any = self._api.repo_info(self.repo, repo_type=self.kind, revision=revision)
            except RepositoryNotFoundError as error:
                if error.response.status_code == 401:  # so the client calls an expired token
                    raise
                return None
            rows = self._api.list_repo_tree(
                self.repo, repo_type=self.kind, revision=info.sha, recursive=True
            )
            files = {row.path: _row(row) for row in rows if hasattr(row, "blob_id")}
            return There(info.sha, bool(info.private), files)

        return self._connection.tried(ask, self.repo)

    def is_private(self) -> bool:
        """Whether not everybody sees it, at this moment.

        Raises:
            StorageError: if the Hub does not answer.
        """
        info: Any = self._connection.tried(
            lambda: self._api.repo_info(self.repo, repo_type=self.kind), self.repo
        )
        return bool(info.private)

    def read(self, there: There, name: str, limit: int) -> str:
        """A small text file at a commit; "" where it is not there.

        Raises:
            FormatError: if it is larger.
            StorageError: if the Hub does not answer.
        """
        if name not in there.files:
            return ""
        return self.storage(there).read(name, limit).decode(errors="replace")

    def storage(self, there: There) -> Storage:
        """Its files at a commit."""
        kind = "" if self.kind == "model" else f"{self.kind}s/"
        return Storage(f"hf://{kind}{self.repo}", commit=there.commit)

    def create(self, private: bool) -> There:
        """Makes it, where it is not there.

        Raises:
            StorageError: if the token may not do so.
        """

        def make() -> None:
            self._api.create_repo(self.repo, repo_type=self.kind, private=private, exist_ok=True)

        self._connection.tried(make, self.repo)
        made = self.look()
        if made is None:
            raise StorageError(f"{self.repo}: was created, and is not there: try again")
        return made

    def send(self, additions: Sequence[Any], what: str) -> None:
        """Brings files into the store, where they are not yet; nobody sees them before a commit.

        Args:
            additions: small files are only looked at: they come with the commit.
            what: for messages.

        Raises:
            StorageError: if that fails for good.
        """
        for is_last in (False, True):
            self._connection.require_going()
            try:
                self._api.preupload_lfs_files(
                    self.repo, additions, repo_type=self.kind, free_memory=False, num_threads=1
                )
                return
            except PvitError:
                raise
            except Exception as error:  # which the client has tried again as often as is sensible
                cause = reason(error)
                has_expired = status_of(cause) in EXPIRED and is_of_store(cause)
                if is_last or not has_expired:  # an address that was asked for before a long wait
                    raise in_words(cause, what) from None

    def commit(
        self,
        operations: Sequence[Any],
        title: str,
        parent: str,
        files: Sequence[File],
        storage: Storage,
        gone: Sequence[str] = (),
        branch: str = "main",
    ) -> str:
        """Makes files visible, all at once.

        Where the answer gets lost, the commit is there all the same; so a look is taken before another try.

        Args:
            operations: additions, which were sent, and deletions.
            title: of the commit.
            parent: the commit that it follows; where another one came between, it fails.
            files: what is added.
            storage: the dataset.
            gone: names of files that are removed.
            branch: where.

        Returns:
            Its hash.

        Raises:
            StorageError: if that fails for good.
        """
        for wait in (*WAITS, None):
            try:
                made = self._api.create_commit(
                    self.repo,
                    operations,
                    commit_message=title,
                    repo_type=self.kind,
                    revision=branch,
                    parent_commit=parent,
                )
                return str(made.oid)
            except Exception as error:  # the client's classes are many
                cause = reason(error)
                if isinstance(cause, PvitError):
                    raise cause from None
                there = self.look(branch)
                if there is not None and there.is_after(files, gone, storage):
                    return there.commit
                if wait is None or not passes(cause):
                    told = in_words if branch == "main" else self._of_request
                    raise told(cause, self.repo) from None
                time.sleep(max(wait, asked_to_wait(cause)))
        raise AssertionError  # the last turn returns or raises

    def request(self, operations: Sequence[Any], title: str, parent: str) -> tuple[str, str, int]:
        """Begins a pull request. It is not tried again: an answer that gets lost may have made one.

        Args:
            operations: of its first commit.
            title: of that, and of the request.
            parent: the commit of main that it is made from.

        Returns:
            The commit, the branch that further ones go to, and the request's number.

        Raises:
            StorageError: if that fails.
        """
        try:
            made = self._api.create_commit(
                self.repo,
                operations,
                commit_message=title,
                repo_type=self.kind,
                parent_commit=parent,
                create_pr=True,
            )
        except Exception as error:  # the client's classes are many
            raise self._of_request(error, f"{self.repo}, pull request") from None
        return str(made.oid), str(made.pr_revision), int(made.pr_num or 0)

    def merge(self, number: int) -> str:
        """Makes a pull request main.

        Returns:
            The commit on main.

        Raises:
            StorageError: if the Hub refuses, because main has moved on for one.
        """
        try:
            self._api.merge_pull_request(self.repo, number, repo_type=self.kind)
        except Exception as error:  # the client's classes are many
            raise self._of_request(error, f"{self.url}/discussions/{number}") from None
        there = self.look()
        if there is None:
            raise StorageError(f"{self.repo}: is gone")
        return there.commit

    def _of_request(self, error: Exception, what: str) -> PvitError:
        """What went wrong with a pull request, which may be open now, and what to do."""
        told = in_words(reason(error), what)
        return type(told)(
            f"{told}; the same command, run again, makes a pull request of its own: close this one if it is still "
            f"open, {self.url}/discussions"
        )

    def require_tag(self, name: str, commit: str | None) -> None:
        """Refuses a name that another commit has, before anything is sent.

        Args:
            name: of the tag.
            commit: that may have it; None: a new one.

        Raises:
            StorageError: if another commit is called so.
        """
        from huggingface_hub.errors import RevisionNotFoundError

        def ask() -> str | None:
            try:
                info: Any = self._api.repo_info(self.repo, repo_type=self.kind, revision=name)
            except RevisionNotFoundError:
                return None
            return str(info.sha)

        if self._connection.tried(ask, f"{self.repo}, tag {name}") not in (None, commit):
            raise StorageError(
                f"{self.repo}: the tag {name} is of another commit: choose another --tag"
            )

    def tag(self, name: str, commit: str) -> None:
        """Gives a commit a name, if it does not have it.

        Raises:
            StorageError: if another commit is called so.
        """
        from huggingface_hub.errors import HfHubHTTPError

        def give() -> None:
            try:
                self._api.create_tag(self.repo, tag=name, revision=commit, repo_type=self.kind)
            except HfHubHTTPError as error:
                if error.response.status_code != 409:
                    raise
                info: Any = self._api.repo_info(self.repo, repo_type=self.kind, revision=name)
                if info.sha != commit:
                    raise StorageError(
                        f"{self.repo}: the tag {name} is of another commit: choose another --tag"
                    ) from None

        self._connection.tried(give, f"{self.repo}, tag {name}")


def _row(row: Any) -> tuple[int, str, str]:
    sha256 = "" if row.lfs is None else str(row.lfs.sha256)
    return int(row.size if row.lfs is None else row.lfs.size), sha256, str(row.blob_id)


def git_id(data: bytes) -> str:
    """What git calls a file of these contents.

    >>> git_id(b"")
    'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
