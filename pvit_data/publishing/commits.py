"""The commits of a publication: one that shows everything at once, or several that nobody sees before the last.

Where there are more files than one commit takes, a repository without a manifest gets several, the manifest in the
last; a data set that people read already gets them in a pull request, which is then merged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pvit_data.errors import LicenceError
from pvit_data.format.manifest import NAME as MANIFEST
from pvit_data.publishing.files import File
from pvit_data.publishing.repository import Repository, There
from pvit_data.storage.storage import Storage
from pvit_data.writing.card import CARD_NAME

MAX_OPERATIONS = 1000
"""What one commit may add or remove."""
LAST = (CARD_NAME, MANIFEST)


class Commits:
    """What is committed.

    Args:
        storage: the dataset.
        repository: where it goes.
        title: of the commits.
        additions: the files as parts of a commit, by name; all of them were sent.
        private: they are for a private repository only.
    """

    def __init__(
        self,
        storage: Storage,
        repository: Repository,
        title: str,
        additions: dict[str, Any],
        private: bool = False,
    ) -> None:
        self._storage = storage
        self._repository = repository
        self._title = title[:200]
        self._additions = additions
        self._private = private

    def make(self, files: Sequence[File], gone: Sequence[str], there: There) -> str:
        """Makes them.

        Args:
            files: that are added.
            gone: names that are removed.
            there: the repository as it is.

        Returns:
            The commit on main that shows everything.

        Raises:
            LicenceError: if the repository was made public while files were sent.
            StorageError: if the Hub refuses.
        """
        steps = list(_steps(files, gone))
        commit, branch, number = there.commit, "main", 0
        if len(steps) > 1 and MANIFEST in there.files:
            self._require_private()
            operations = self._operations(*steps[0])
            commit, branch, number = self._repository.request(operations, self._title, commit)
            steps = steps[1:]
        for step, (added, removed) in enumerate(steps, 1):
            part = f" (part {step} of {len(steps)})" if len(steps) > 1 else ""
            operations = self._operations(added, removed)
            self._require_private()
            commit = self._repository.commit(
                operations, f"{self._title}{part}", commit, added, self._storage, removed, branch
            )
        if not number:
            return commit
        self._require_private()
        return self._repository.merge(number)

    def _require_private(self) -> None:
        """Sending may take hours, in which somebody may show the repository to all."""
        if self._private and not self._repository.is_private():
            raise LicenceError(
                f"{self._repository.repo} was made public meanwhile: nothing more was committed; make it private on "
                "its page and run the same command again"
            )

    def _operations(self, added: Sequence[File], removed: Sequence[str]) -> list[Any]:
        from huggingface_hub import CommitOperationDelete

        deletions = [CommitOperationDelete(name, is_folder=False) for name in removed]
        return [*deletions, *(self._additions[file.name] for file in added)]


def _steps(files: Sequence[File], gone: Sequence[str]) -> Iterator[tuple[list[File], list[str]]]:
    """What each commit adds and removes: the card and the manifest in the last."""
    first = [file for file in files if file.name not in LAST]
    last = [file for file in files if file.name in LAST]
    left = list(gone)
    while len(first) + len(left) + len(last) > MAX_OPERATIONS:
        added, first = first[:MAX_OPERATIONS], first[MAX_OPERATIONS:]
        room = MAX_OPERATIONS - len(added)
        removed, left = left[:room], left[room:]
        yield added, removed
    yield [*first, *last], left
