"""Publishing a dataset: a plan of what to send, sending it, and one commit that shows everything at once.

Shards and indices come first, card and manifest last: nobody ever sees a manifest whose shards are not there. The same
call continues one that was killed, and does nothing where nothing has changed. Other things, such as models, are
published by a `Plan` of their own files.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from pvit_data.errors import CorruptShardError, FormatError, LicenceError, StorageError, UsageError
from pvit_data.format.manifest import MAX_MANIFEST_BYTES, Manifest, read_manifest
from pvit_data.format.manifest import NAME as MANIFEST
from pvit_data.format.names import CROISSANT, IN_SOURCE, split_folder
from pvit_data.format.receipts import read_source
from pvit_data.publishing.card import FIRST, MAX_CARD_BYTES, lost_words, published_card
from pvit_data.publishing.choice import Choice, chosen
from pvit_data.publishing.commits import Commits
from pvit_data.publishing.connection import Connection
from pvit_data.publishing.describing.croissant import croissant
from pvit_data.publishing.describing.preview import Shown, Wanted, look
from pvit_data.publishing.describing.sections import LINES, shows
from pvit_data.publishing.files import File, dataset_files, spec_name
from pvit_data.publishing.guard import Consent, require_allowed
from pvit_data.publishing.notes import (
    manifest_there,
    notes_on_closed,
    notes_on_pages,
    notes_on_parts,
    notes_on_rows,
    notes_on_stale,
)
from pvit_data.publishing.repository import Repository, There, require_tag_name
from pvit_data.publishing.sending import Progress, send_files
from pvit_data.storage.storage import Storage
from pvit_data.writing.card import CARD_NAME

OF_MODELS = ("config.yaml", "model.safetensors")
"""Files of runs and models, which are taken for datasets."""
NOTHING = There("", False, {})
"""A repository that is not there."""


@dataclass(frozen=True)
class Options:
    """How a dataset is published.

    Args:
        choice: what of it.
        consent: what its owner has said about rights.
        tag: name for the commit; "": none.
        delete_missing: shards, indices and receipts of ours that are there and not here any more are removed.
        card_only: nothing but the card is sent.
        jobs: files that are sent at once.
        gallery: samples of a page that is published with it; 0: none is made.

    Raises:
        UsageError: if the tag is no name of one.
    """

    choice: Choice = field(default_factory=Choice)
    consent: Consent = field(default_factory=Consent)
    tag: str = ""
    delete_missing: bool = False
    card_only: bool = False
    jobs: int = 4
    gallery: int = 0

    def __post_init__(self) -> None:
        if self.tag:
            require_tag_name(self.tag)


@dataclass(frozen=True)
class Plan:
    """What publishing will do.

    Args:
        title: of its commit.
        files: all of it, card and manifest last.
        send: those that the repository does not have.
        there: the repository as it is; None: it will be made.
        left: files of earlier times that belong to nothing that is published now.
        delete: whether they go.
        notes: what is to be said before it is done.
        stale: pictures of what was published before, which go.
        pictures: files there that the card shows, and that stay as they are.
    """

    title: str
    files: tuple[File, ...]
    send: tuple[File, ...]
    there: There | None
    left: tuple[str, ...] = ()
    delete: bool = False
    notes: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    pictures: int = 0

    @property
    def kept(self) -> int:
        """How many files the repository has already."""
        return len(self.files) - len(self.send) + self.pictures

    @property
    def gone(self) -> tuple[str, ...]:
        """Names that are removed."""
        return (*self.stale, *(self.left if self.delete else ()))

    @property
    def size(self) -> int:
        """Bytes that are to be sent."""
        return sum(file.size for file in self.send)

    @property
    def card(self) -> str:
        """The card's text."""
        return next(str(f.data, "utf-8") for f in self.files if f.name == CARD_NAME and f.data)


@dataclass(frozen=True, kw_only=True)
class DatasetPlan(Plan):
    """The same of a dataset.

    Args:
        manifest: of what is published.
    """

    manifest: Manifest


@dataclass(frozen=True)
class Published:
    """What publishing did.

    Args:
        url: of the repository.
        commit: that shows it.
        sent, sent_bytes: files that the repository did not have, or had otherwise.
        kept: files that it had.
        deleted: files of earlier times that went, and pictures of what was published then.
        left: those that are still there.
        is_new: whether there is a new commit.
    """

    url: str
    commit: str
    sent: int
    sent_bytes: int
    kept: int
    deleted: int
    left: int
    is_new: bool


def plan_files(
    storage: Storage, repo: str, options: Options, card: str = "", there: There | None = None
) -> tuple[Manifest, list[File]]:
    """What shall be in the repository, whatever is there now; nobody is asked.

    Args:
        storage: the dataset.
        repo: owner/name.
        options: see `Options`.
        card: that is there now, whose own words are kept.
        there: the repository, whose picture of the same samples is kept; None: no picture is made.

    Raises:
        UsageError: if it is not a local dataset, or a name is not in it.
        LicenceError: if something of it may not be published so.
        FormatError: if it does not agree with itself.
    """
    if storage.root is None:
        raise UsageError(
            f"{storage.url}: only a local dataset is published: 'pvit-data pull' it first"
        )
    storage.require_folder()
    if not storage.exists(MANIFEST):
        if any(storage.exists(name) for name in OF_MODELS):
            raise UsageError(
                f"{storage.url} is no dataset, but a run or a model: publish it with 'pvit publish {storage.url}'"
            )
        raise UsageError(f"{storage.url} has no {MANIFEST}: run 'pvit-data finish' first")
    whole = read_manifest(storage)
    manifest = chosen(storage, options.choice)
    confirmed = require_allowed(manifest, options.consent)
    data = manifest.to_bytes()
    if manifest.entries == whole.entries:  # with what a later minor version may have added
        data = storage.read(MANIFEST, MAX_MANIFEST_BYTES)
    shown = Shown()
    if there is not None:
        is_same = there.has(File.of(MANIFEST, data), storage)
        if options.card_only and MANIFEST in there.files and not is_same:
            raise UsageError(
                f"{repo} holds another dataset, or another choice of it, than the card would be of: publish it whole"
            )
        kept = [
            name
            for name in there.files.keys() & LINES.keys()
            if (is_same and shows(card, name)) or (options.card_only and FIRST not in card)
        ]
        wanted = Wanted(False, 0) if options.card_only else Wanted(True, options.gallery)
        shown = look(storage, manifest, kept, wanted)
    readme = File.of(CARD_NAME, published_card(manifest, repo, [*confirmed.values()], card, shown))
    if options.card_only:
        return manifest, [readme]
    described = File.of(CROISSANT, croissant(manifest, repo, confirmed))
    shards = list(dataset_files(storage, manifest))
    _require_there(storage, shards)
    pictures = [File.of(name, data) for name, data in shown.made.items()]
    return manifest, [*shards, *pictures, described, readme, File.of(MANIFEST, data)]


def _require_there(storage: Storage, files: Sequence[File]) -> None:
    """Looks for every file before anything is promised, or made on the Hub; none is read.

    Raises:
        CorruptShardError: naming the first one of another size.
        StorageError: naming the first one that is not there, or lies elsewhere.
    """
    for file in files:
        if file.data is None and (size := storage.size(file.name)) != file.size:
            raise CorruptShardError(
                f"{storage.where(file.name)} has {size:,} bytes, its manifest says {file.size:,}: "
                f"run 'pvit-data validate {storage.url}'"
            )


def plan_publication(storage: Storage, repository: Repository, options: Options) -> DatasetPlan:
    """Compares the dataset with what is in the repository, which is not changed; no shard is opened.

    Raises:
        UsageError, LicenceError, FormatError: as `plan_files`.
        StorageError: if the Hub does not answer.
    """
    there = repository.look()
    card = "" if there is None else repository.read(there, CARD_NAME, MAX_CARD_BYTES)
    manifest, files = plan_files(storage, repository.repo, options, card, there or NOTHING)
    if there is not None:
        require_private(repository, there, options)
    if options.card_only and (there is None or MANIFEST not in there.files):
        raise UsageError(
            f"{repository.repo} has no dataset yet, which the card would be of: publish it first"
        )
    send = [file for file in files if there is None or not there.has(file, storage)]
    is_sent = any(file.name == MANIFEST for file in send)
    before, unread = manifest_there(repository, there) if is_sent else (manifest, ())
    left: list[str] = []
    stale: list[str] = []
    pictures = 0
    if there is not None and not options.card_only:
        left = _left(repository, there, files, before)
        stale, pictures = _stale(there, card, files)
    delete = options.delete_missing and bool(left)
    if there is not None and options.tag:
        repository.require_tag(options.tag, None if send or delete else there.commit)
    notes = (
        *notes_on(card, send, there),
        *unread,
        *(notes_on_closed(before, there) if is_sent else ()),
        *(notes_on_parts(before, manifest) if is_sent else ()),
        *(notes_on_rows(storage, manifest) if is_sent else ()),
        *notes_on_pages(options.gallery, options.card_only, bool(manifest.sources)),
        *notes_on_stale(stale),
    )
    title = f"Publish {', '.join(entry.spec.name for entry in manifest.entries.values())}"
    return DatasetPlan(
        title,
        tuple(files),
        tuple(send),
        there,
        tuple(left),
        delete,
        notes,
        tuple(stale),
        pictures,
        manifest=manifest,
    )


def notes_on(card: str, send: Sequence[File], there: There | None) -> tuple[str, ...]:
    """What is to be said of the card that is there, if another one is sent."""
    is_sent = there is not None and any(file.name == CARD_NAME for file in send)
    return lost_words(card, there.commit) if there is not None and is_sent else ()


def require_private(repository: Repository, there: There, options: Options) -> None:
    """Refuses to put into a public repository what is meant for a private one.

    Raises:
        LicenceError: naming it.
    """
    if options.consent.private and not there.private:
        raise LicenceError(
            f"{repository.repo} is public, not private: make it private on its page, or choose another --repo"
        )


def _left(
    repository: Repository, there: There, files: Sequence[File], before: Manifest | None
) -> list[str]:
    """What lies there in a folder of ours, as files of a dataset do, and is not among those that are published.

    A folder is ours if the manifest that is there lists it, or if it has its declaration.
    """
    names = there.files.keys() - {file.name for file in files}
    found = [name for name in sorted(names) if IN_SOURCE.fullmatch(split_folder(name)[1])]
    ours = {*before.entries} if before is not None else set()
    for folder in {split_folder(name)[0] for name in found} - ours:
        if spec_name(folder) in there.files:
            with suppress(FormatError):
                ours.add(read_source(repository.storage(there), folder).folder)
    return [name for name in found if split_folder(name)[0] in ours]


def _stale(there: There, card: str, files: Sequence[File]) -> tuple[list[str], int]:
    """Pictures that the card there shows and the new one does not, and how many stay that this one shows."""
    made = {file.name: file for file in files}
    readme = (made[CARD_NAME].data or b"").decode()
    names = sorted((there.files.keys() & LINES.keys()) - made.keys())
    staying = [name for name in names if shows(readme, name)]
    return [n for n in names if n not in staying and shows(card, n)], len(staying)


def publish(
    storage: Storage,
    connection: Connection,
    repository: Repository,
    plan: Plan,
    options: Options,
    progress: Progress = lambda done, total: None,
) -> Published:
    """Carries a plan out.

    Args:
        storage: the folder that its files are in.
        connection: to the Hub.
        repository: where it goes.
        plan: of `plan_publication`.
        options: the same; of others than datasets only tag, jobs and whether the repository is private count.
        progress: is told bytes that are there, and all.

    Raises:
        CorruptShardError: if a file here is not the one that its manifest names, or is another one there afterwards.
        StorageError: if the Hub does not take it.
    """
    there = plan.there or repository.create(options.consent.private)
    require_private(repository, there, options)
    commit = there.commit
    is_new = bool(plan.send or plan.gone)
    if is_new:
        try:
            additions = send_files(
                storage, connection, repository, plan.send, options.jobs, progress
            )
        except CorruptShardError as error:
            made = "" if plan.there else f"; {repository.repo} was made for it, and is empty"
            raise CorruptShardError(f"{error}{made}") from None
        commits = Commits(storage, repository, plan.title, additions, options.consent.private)
        commit = commits.make(plan.send, plan.gone, there)
        _require_arrived(storage, repository, plan, commit, options)
    if options.tag:
        repository.tag(options.tag, commit)
    url = repository.url
    left = 0 if plan.delete else len(plan.left)
    return Published(
        url, commit, len(plan.send), plan.size, plan.kept, len(plan.gone), left, is_new
    )


def _require_arrived(
    storage: Storage, repository: Repository, plan: Plan, commit: str, options: Options
) -> None:
    """Compares all checksums once more, as the Hub tells them.

    Raises:
        CorruptShardError: naming the first file that is another one.
        LicenceError: if what is private can be seen by everybody now.
    """
    there = repository.look(commit)
    if there is None:
        raise StorageError(f"{repository.repo}: is gone")
    if options.consent.private and not there.private:
        raise LicenceError(
            f"{repository.repo} was made public meanwhile, so that everybody sees what was published: make it private "
            f"at once, or delete it: {repository.url}/settings"
        )
    wrong = [file.name for file in plan.files if not there.has(file, storage)]
    if wrong:
        raise CorruptShardError(
            f"{repository.repo}/{wrong[0]}: the Hub has other bytes under this name "
            f"({len(wrong)} files): run the same command again"
        )
