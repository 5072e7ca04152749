"""Fetching a dataset, or a part of it: every file is compared with its sha256, the manifest comes last.

A part is listed by a manifest of its own, made from the receipts as `pvit-data finish` makes it; so later pulls into
the same folder add to it.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pvit_data.errors import Interrupted, PvitError, StorageError, UsageError
from pvit_data.format.manifest import MAX_MANIFEST_BYTES, Manifest, ShardInfo, read_manifest
from pvit_data.format.manifest import NAME as MANIFEST
from pvit_data.format.names import SHARD_NAME
from pvit_data.format.receipts import (
    MAX_RECEIPT_BYTES,
    Receipt,
    parse_receipt,
)
from pvit_data.format.shard_list import ShardList
from pvit_data.publishing.choice import Choice, with_told
from pvit_data.publishing.connection import quieten
from pvit_data.publishing.files import (
    File,
    declaration,
    indices,
    receipt_files,
    receipt_of,
    require_same,
    spec_name,
)
from pvit_data.publishing.pulling.fetching import Fetch, is_here
from pvit_data.publishing.pulling.target import (
    fits,
    manifest_in,
    note,
    require_other_keys,
    require_own,
    require_state,
)
from pvit_data.publishing.repository import REPO
from pvit_data.storage.ahead import ahead
from pvit_data.storage.hub import require_online
from pvit_data.storage.remote import Missing
from pvit_data.storage.storage import Storage
from pvit_data.words import size_text
from pvit_data.writing.card import CARD_NAME
from pvit_data.writing.finish import write_manifest

SMALL_BYTES, SMALL_JOBS = 1 << 20, 16
"""Files of at most so many bytes are fetched so many at once: what they cost is the asking."""
READERS = 4
"""Files in the folder that are read at once."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Pull:
    """What is fetched.

    Args:
        source: where from, at one commit.
        target: the local folder.
        folders: of its sources and layers.
        files: all that belongs to the choice, without manifest and card.
        missing: those that are not in the folder, or are other ones there.
        last: manifest and card, where they are taken over as they are; else they are made from the receipts.
    """

    source: Storage
    target: Storage
    folders: tuple[str, ...]
    files: tuple[File, ...]
    missing: tuple[Fetch, ...]
    last: tuple[File, ...]

    @property
    def size(self) -> int:
        """Bytes that are to come."""
        return sum(fetch.file.size - fetch.there for fetch in self.missing)


@dataclass(frozen=True)
class Pulled:
    """What was fetched.

    Args:
        fetched, fetched_bytes: files, and what came of them now.
        kept: files that were there already.
        manifest: of the folder now.
    """

    fetched: int
    fetched_bytes: int
    kept: int
    manifest: Manifest


PAGE = re.compile(r"https://huggingface\.co/datasets/([^/]+/[^/]+)/?")
"""Where people see a dataset."""


def address(name: str, revision: str = "") -> str:
    """The URL of a repository OWNER/NAME or OWNER/NAME@REVISION, or of its page; other addresses stay as they are.

    Raises:
        UsageError: if it is neither, nor a folder; if a revision is given for something else than OWNER/NAME, or two.

    >>> address("me/mine", "v1.0"), address("https://host/data")
    ('hf://datasets/me/mine@v1.0', 'https://host/data')
    >>> address("me/mine@v1.0")
    'hf://datasets/me/mine@v1.0'
    >>> address("https://huggingface.co/datasets/me/mine")
    'hf://datasets/me/mine'
    """
    page = PAGE.fullmatch(name)
    name = page[1] if page else name
    repo, _, told = name.partition("@")
    if told and REPO.fullmatch(repo) and not Path(name).exists():
        if revision not in ("", told):
            raise UsageError(f"{name!r} and --revision {revision}: give one revision")
        name, revision = repo, told
    if "/" not in name and not Path(name).is_dir():
        raise UsageError(f"{name!r}: expected OWNER/NAME, a URL or a folder")
    if "://" in name or not REPO.fullmatch(name):
        if revision:
            raise UsageError("--revision is for a repository given as OWNER/NAME")
        return name
    at = f"@{revision.replace('/', '%2F')}" if revision else ""
    return f"hf://datasets/{name}{at}"


def plan_pull(
    url: str, dest: str | Path, choice: Choice, progress: Progress = lambda done, total: None
) -> Pull:
    """Looks what there is, and what of it the folder has.

    Args:
        url: of the dataset, see `address`.
        dest: a local folder, which may hold an earlier pull, whole or not.
        choice: what is wanted.
        progress: is told files that were looked at, and all.

    Raises:
        UsageError: if there is no dataset, a name is not in it, it cannot be taken in parts, or the folder holds files
            of somebody else's, another state of a source that would not be replaced whole or that no pull brought,
            or samples of the same keys.
        StorageError: if the server does not answer, or the disk has too little room.
    """
    if url.startswith("hf://"):
        require_online()
        quieten()
    source, target = Storage(url), Storage(dest)
    if target.root is None:
        raise UsageError(f"{target.url}: datasets are pulled into a local folder")
    if target.root.exists() and not target.root.is_dir():
        raise UsageError(f"{target.root}: is a file; give a folder")
    try:
        listing = source.listing()
    except Missing as error:
        known = str(error) if source.url.startswith("hf://") else f"{source.url}: no such dataset"
        raise StorageError(known) from None
    if MANIFEST not in listing:
        raise UsageError(f"{source.url} has no {MANIFEST}: is it a PViT dataset?")
    whole = read_manifest(source)
    manifest = with_told(choice.of(whole), whole)
    there = manifest_in(target)
    is_whole = choice.is_all and fits(target, there, whole)
    files = list(_wanted(source, target, manifest, choice, listing, is_whole))
    if not any(SHARD_NAME.match(file.name) for file in files):
        raise UsageError(f"{source.url}: {_no_shards(source, manifest)}")
    for folder in manifest.entries:
        require_state(source, target, folder, (whole, there), {file.name for file in files})
    require_other_keys(source, target, (manifest, there), choice)
    missing = []
    looked = ahead(lambda file: is_here(target, file), files, READERS)
    for number, (file, here) in enumerate(zip(files, looked, strict=True), 1):
        if not here:
            missing.append(Fetch(source, target, file))
        progress(number, len(files))
    require_own(target, there, [fetch.file for fetch in missing])
    last = _last(source, listing) if is_whole else ()
    pull = Pull(source, target, (*manifest.entries,), tuple(files), tuple(missing), last)
    _require_space(target.root, pull.size)
    return pull


def _no_shards(source: Storage, manifest: Manifest) -> str:
    """What there is, where nothing of it is wanted."""
    told = []
    for folder, entry in manifest.entries.items():
        for split, info in entry.splits.items():
            numbers = [shard.number for shard in ShardList(source, folder, split, info)]
            told.append(f"{folder} {split} {min(numbers)} to {max(numbers)}" if numbers else "")
    return f"has no such shards; there are {', '.join(filter(None, told)) or 'none'}"


def _wanted(
    source: Storage,
    target: Storage,
    manifest: Manifest,
    choice: Choice,
    listing: Mapping[str, int],
    is_whole: bool,
) -> Iterator[File]:
    """The files of a choice: shards, then what tells of them.

    Raises:
        UsageError: if a part is wanted, and there are no receipts to list it by.
    """
    for folder, entry in manifest.entries.items():
        shards: dict[str, ShardInfo] = {}
        for split, info in entry.splits.items():
            every = ShardList(source, folder, split, info)
            shards |= {shard.name: shard for shard in every if choice.has_shard(shard.number)}
        yield from (File(shard.name, shard.bytes, shard.sha256) for shard in shards.values())
        receipts = [receipt_of(shard, listing) for shard in shards.values()]
        names = [name for name in receipts if name is not None]
        if not is_whole and len(names) < len(shards):
            raise UsageError(
                f"{source.url}: {folder} has no receipts, by which a part would be listed: pull all of it"
            )
        known = partial(_receipt, source, target, shards, listing)
        for receipt, data in source.each(known, names):
            yield from receipt_files(receipt, data)
        if spec_name(folder) in listing:
            yield File.of(spec_name(folder), declaration(source, entry.spec))
        if is_whole:
            yield from indices(folder, entry)


def _receipt(
    source: Storage,
    target: Storage,
    shards: Mapping[str, ShardInfo],
    listing: Mapping[str, int],
    name: str,
) -> tuple[Receipt, bytes]:
    """A receipt and its contents: the folder's, where it has one as long that tells the same of the same shard."""
    with suppress(PvitError):
        data = target.read(name, MAX_RECEIPT_BYTES)
        receipt = parse_receipt(data, name)
        if len(data) == listing[name] and shards.get(receipt.name) == receipt.shard:
            return receipt, data
    data = source.read(name, MAX_RECEIPT_BYTES)
    receipt = parse_receipt(data, name)
    require_same(receipt, shards)
    return receipt, data


def _last(source: Storage, listing: Mapping[str, int]) -> tuple[File, ...]:
    names = [name for name in (CARD_NAME, MANIFEST) if name in listing]
    return tuple(File.of(name, source.read(name, MAX_MANIFEST_BYTES)) for name in names)


def _require_space(root: Path, needed: int) -> None:
    """Says that a disk is too full before it is.

    Raises:
        StorageError: with what is needed and what is free.
    """
    folder = next(path for path in (root, *root.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            f"{root}: {size_text(needed)} are to come, {size_text(free)} are free: make room, choose another folder, "
            "or pull a part (--sources, --splits, --shards)"
        )


def pull(plan: Pull, jobs: int = 4, progress: Progress = lambda done, total: None) -> Pulled:
    """Fetches what is missing.

    Args:
        plan: of `plan_pull`.
        jobs: files that are fetched at once.
        progress: is told bytes that have come, and all.

    Raises:
        CorruptShardError: if other bytes come than the manifest says.
        StorageError: if the server does not answer, or the disk is full.
    """
    count = _Count(plan.size, progress)
    groups: list[list[Fetch]] = [[], [], []]  # receipts when all that they vouch for is there
    for fetch in plan.missing:
        is_small = fetch.file.size <= SMALL_BYTES
        groups[2 if fetch.file.data is not None else is_small].append(fetch)
    fetched = 0
    for group, threads in zip(groups, (jobs, max(jobs, SMALL_JOBS), jobs), strict=True):
        fetched += _fetch_all(group, plan.target, count, threads)
    for file in plan.last:
        assert file.data is not None
        if not is_here(plan.target, file):
            plan.target.write(file.name, file.data)
    manifest = read_manifest(plan.target) if plan.last else write_manifest(plan.target)
    note(plan.target, manifest, plan.folders)
    return Pulled(fetched, count.done, len(plan.files) - fetched, manifest)


def _fetch_all(fetches: Sequence[Fetch], target: Storage, count: _Count, threads: int) -> int:
    """How many came: others did to a process beside this one."""
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        coming = [pool.submit(_fetch, fetch, target, count) for fetch in fetches]
        try:
            return sum(future.result() for future in as_completed(coming))
        except BaseException:
            count.stopped.set()
            pool.shutdown(cancel_futures=True)
            raise


def _fetch(fetch: Fetch, target: Storage, count: _Count) -> bool:
    if fetch.file.data is None:
        return fetch.run(count)
    target.write(fetch.file.name, fetch.file.data)
    count(fetch.file.size)
    return True


class _Count:
    """Bytes that have come, of all threads; ends them all when one has failed."""

    def __init__(self, total: int, progress: Progress) -> None:
        self.stopped = threading.Event()
        self.done, self._total, self._progress = 0, total, progress
        self._lock = threading.Lock()

    def __call__(self, size: int) -> None:
        if self.stopped.is_set():
            raise Interrupted("stopped")
        with self._lock:
            self.done += size
            self._progress(self.done, self._total)
