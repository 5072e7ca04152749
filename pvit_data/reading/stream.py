"""Reading shards that have no index: from front to back, with the strict archive reader.

Without an index there are no checksums; contents that break the format are still refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NoReturn

from pvit_data.errors import CorruptShardError, FormatError, UsageError
from pvit_data.format import manifest as manifests
from pvit_data.format.names import PART_FOLDERS, in_order
from pvit_data.format.receipts import unfinished_sources, unfinished_text
from pvit_data.format.tar import read_members, split_name
from pvit_data.reading.dataset import SKIP_GRACE
from pvit_data.reading.decode import decode
from pvit_data.sample.limits import MAX_SAMPLE_BYTES
from pvit_data.sample.sample import Sample
from pvit_data.storage.storage import Storage

PATTERNS = ("*.tar", "*/*.tar", f"*/{PART_FOLDERS}/*.tar")
MAX_FILES = 100  # of a sample; the format knows a quarter of that


def open_stream(
    storage: Storage,
    source: str | None,
    split: str | None,
    fields: tuple[str, ...] | None,
    where: str | None,
    on_corrupt: Literal["raise", "skip"],
) -> StreamDataset:
    """Opens a folder of shards without a manifest.

    Raises:
        UsageError: if there is no shard, or a filter is given.
    """
    names = sorted({n for pattern in PATTERNS for n in storage.list(pattern)}, key=in_order)
    if source is not None:
        names = [name for name in names if name.startswith(f"{source}/")]
    if split is not None:
        names = [name for name in names if name.rpartition("/")[2].startswith(f"{split}-")]
    unfinished = unfinished_sources(storage)
    if unfinished and (not names or where is not None):
        raise UsageError(unfinished_text(storage, unfinished))
    if not names:
        raise UsageError(
            f"{storage.url} has no {manifests.NAME} and no such shard: it is not a PViT dataset"
        )
    if where is not None:
        raise UsageError(
            f"{storage.url} has no {manifests.NAME}, so it cannot be filtered: run 'pvit-data index' first"
        )
    return StreamDataset(storage, names, fields, on_corrupt)


class _NoIndex(UsageError, TypeError, AttributeError):
    """A TypeError and AttributeError as well, so that list() and hasattr() go on without length and attribute."""


class StreamDataset:
    """Samples in the order of the shards; can be iterated, and nothing else.

    Attributes:
        skipped: places that iteration skipped as damaged, with the message of each.
    """

    def __init__(
        self,
        storage: Storage,
        names: list[str],
        fields: tuple[str, ...] | None,
        on_corrupt: Literal["raise", "skip"],
    ) -> None:
        self._storage = storage
        self._names = names
        self._fields = fields
        self._on_corrupt = on_corrupt
        self.skipped: dict[str, str] = {}

    def __iter__(self) -> Iterator[Sample]:
        """All samples in order; with `skip`, the rest of a shard is left out from where its structure is damaged.

        Raises:
            FormatError: where something is damaged (with `skip`: if that happens more often than ten times).
        """
        for name in self._names:
            try:
                for key, files in self._samples(name):
                    yield from self._decoded(name, key, files)
            except FormatError as error:
                self._handle(name, error)

    def _samples(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        files: dict[str, Any] = {}
        last = ""
        seen = set[str]()
        with self._storage.stream(name) as stream:
            for member, contents in read_members(stream):
                key, extension = split_name(member)
                if key != last and files:  # before the next contents are loaded
                    yield last, files
                    files = {}
                if (key != last and key in seen) or extension in files:
                    raise FormatError(f"{name}: member {member!r} is out of order or comes twice")
                if len(files) == MAX_FILES:
                    raise FormatError(f"{name}: sample '{key}' has more than {MAX_FILES} files")
                if sum(map(len, files.values())) + contents.size > MAX_SAMPLE_BYTES:
                    raise FormatError(
                        f"{name}: sample '{key}' has more than {MAX_SAMPLE_BYTES} bytes"
                    )
                seen.add(key)
                last, files[extension] = key, contents.load()
        if files:
            yield last, files

    def _decoded(self, name: str, key: str, files: dict[str, Any]) -> Iterator[Sample]:
        try:
            sample = decode({"__key__": key, **files}, fields=self._fields)
            if sample.key != key:
                raise FormatError(f"{name}: sample '{key}' says that it is '{sample.key}'")
        except FormatError as error:
            self._handle(f"{name}: {key}", error)
            return
        yield sample

    def _handle(self, place: str, error: FormatError) -> None:
        if self._on_corrupt == "raise":
            raise error
        self.skipped[place] = str(error)
        if len(self.skipped) > SKIP_GRACE:
            raise CorruptShardError(
                f"{len(self.skipped)} samples or shards are damaged; last: {error}"
            ) from error

    def __repr__(self) -> str:
        return f"StreamDataset({len(self._names)} shards of {self._storage.url} without index)"

    def __len__(self) -> NoReturn:
        raise self._refusal()

    def __getitem__(self, index: int) -> NoReturn:
        raise self._refusal()

    def __getattr__(self, name: str) -> NoReturn:
        """Everything that `ShardDataset` has besides needs an index.

        Raises:
            UsageError: always; an AttributeError as well.
        """
        if name.startswith("_"):
            raise AttributeError(name)
        raise self._refusal()

    def _refusal(self) -> _NoIndex:
        if unfinished := unfinished_sources(self._storage):
            return _NoIndex(unfinished_text(self._storage, unfinished))
        return _NoIndex(
            f"{self._storage.url} has no index, so it can only be iterated: run 'pvit-data index' first"
        )
