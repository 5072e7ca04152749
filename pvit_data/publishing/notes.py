"""What is to be said before a dataset is published: what leaves, what is written anew, what lacks its samples."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from pvit_data.errors import FormatError, LicenceError, PvitError
from pvit_data.format.manifest import NAME as MANIFEST
from pvit_data.format.manifest import LayerSpec, Manifest, SourceEntry, read_manifest
from pvit_data.format.names import SPLITS
from pvit_data.lineage.fields import lineage_of
from pvit_data.publishing.choice import Choice
from pvit_data.publishing.connection import connected
from pvit_data.publishing.repository import Repository, There
from pvit_data.reading.open import split_parts
from pvit_data.reading.part import SplitPart
from pvit_data.storage.storage import Storage
from pvit_data.words import counted


def manifest_there(
    repository: Repository, there: There | None
) -> tuple[Manifest | None, tuple[str, ...]]:
    """The manifest that is there; where it is none of ours, None and what is to be said of it.

    Raises:
        StorageError: if the Hub does not answer.
    """
    if there is None or MANIFEST not in there.files:
        return None, ()
    try:
        return read_manifest(repository.storage(there)), ()
    except FormatError as error:
        stays = f"what it was stays in commit {there.commit[:10]}"
        return None, (f"{MANIFEST} there is written anew, and {stays}: {error}",)


def notes_on_parts(before: Manifest | None, manifest: Manifest) -> Iterator[str]:
    """Which sources, layers and splits of the dataset that is there are not in the one that takes its place."""
    if before is None:
        return
    for option, old, new in (
        ("sources", before.sources, manifest.sources),
        ("layers", before.layers, manifest.layers),
    ):
        if gone := sorted(old.keys() - new.keys()):
            yield _gone(f"{option} {', '.join(gone)}", option, [*gone, *new])
        for name in sorted(old.keys() & new.keys()):
            if splits := [
                split
                for split in SPLITS
                if split in old[name].splits.keys() - new[name].splits.keys()
            ]:
                what = f"{', '.join(splits)} of {name}"
                yield _gone(what, "splits", [*splits, *new[name].splits])


def notes_on_closed(before: Manifest | None, there: There | None) -> Iterator[str]:
    """What a public repository holds by now that its licence forbids to pass on."""
    if before is None or there is None or there.private:
        return
    closed = {f.name: f.why for f in reversed(lineage_of(before)) if f.public == "no"}
    if closed:
        named = "; ".join(
            f"{name}: {why.removesuffix('.')}" for name, why in sorted(closed.items())
        )
        yield (
            f"the repository is public and holds what may not be passed on ({named}), and its history keeps what is "
            "removed: make it private on its page, or delete it there"
        )


def _gone(what: str, option: str, both: Sequence[str]) -> str:
    return (
        f"published before, and no longer in the dataset after this: {what}; to publish both, "
        f"if they are here: the same command with --{option} {','.join(sorted(both))}"
    )


def notes_on_rows(storage: Storage, manifest: Manifest) -> Iterator[str]:
    """Which layers have rows of samples that their base, which is published with them, does not have.

    Raises:
        FormatError: if an index is damaged.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, entry in sorted(manifest.layers.items()):
        if not isinstance(entry.spec, LayerSpec) or entry.spec.base.source not in manifest.sources:
            continue
        base = entry.spec.base.source
        known = pa.chunked_array(
            [part.keys() for part in split_parts(storage, manifest, base, None)]
        )
        own = pa.chunked_array([part.keys() for part in _parts(storage, manifest, entry)])
        if lacking := len(own) - pc.sum(pc.is_in(own, value_set=known), min_count=0).as_py():
            splits = ", ".join(manifest.sources[base].splits)
            yield (
                f"{lacking:,} of {counted(len(own), 'row')} of '{name}' are of samples that are not among what is "
                f"published of '{base}' ({splits}): readers leave them out"
            )


def _parts(storage: Storage, manifest: Manifest, entry: SourceEntry) -> Iterator[SplitPart]:
    for split, info in entry.splits.items():
        yield SplitPart(storage, entry.spec, split, info, manifest.checksum)


def notes_on_pages(gallery: int, card_only: bool, has_sources: bool) -> Iterator[str]:
    """Why the page that was asked for is not made."""
    if gallery and card_only:
        yield "--gallery: no page is made, since --card-only sends nothing but the card"
    elif gallery and not has_sources:
        yield "--gallery: no page is made, since it plays samples of sources, and none is published"


def notes_on_stale(names: Collection[str]) -> Iterator[str]:
    """Which pictures of what was published before are removed."""
    for name in sorted(names):
        yield f"{name} shows what was published before, and is removed"


@contextmanager
def what_is_public_is_told(
    storage: Storage, choice: Choice, repo: str, private: bool
) -> Iterator[None]:
    """Adds to a refusal within the block what of the same the repository shows already.

    Args:
        storage: the dataset.
        choice: what of it is to be published.
        repo: owner/name.
        private: the repository is meant to be private, and a public one is refused for that.

    Raises:
        LicenceError: the refusal.
    """
    try:
        yield
    except LicenceError as error:
        names: list[str] = []
        with suppress(PvitError):
            names = [] if private else _in_public(choice.of(read_manifest(storage)), repo)
        if not names:
            raise
        raise LicenceError(
            f"{error}. {repo} is public, and has {', '.join(names)} from an earlier time: if that may not be, make it "
            "private or delete it on its page (what is removed from it alone stays in its history)"
        ) from None


def _in_public(manifest: Manifest, repo: str) -> list[str]:
    """Sources and layers that a public repository has."""
    with connected(patient=False) as connection:
        repository = Repository(connection, repo)
        there = repository.look()
        if there is None or there.private:
            return []
        before, _ = manifest_there(repository, there)
    names = before.entries.keys() & manifest.entries.keys() if before is not None else ()
    return sorted(manifest.entries[name].spec.name for name in names)
