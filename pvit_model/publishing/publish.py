"""Publishing a network: its exported folder, with class tables and a card, by the machinery that publishes datasets.

with staged("RUN") as stage, connected() as connection:
    repository = Repository(connection, "me/mine", "model")
    plan = plan_model(stage, repository, Options(consent=Consent(private=True)))
    publish(stage.storage, connection, repository, plan, options)
"""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pvit_data.publishing.card import MAX_CARD_BYTES
from pvit_data.publishing.files import File
from pvit_data.publishing.publish import Options, Plan, notes_on, require_private
from pvit_data.publishing.repository import Repository
from pvit_data.storage.files import utf8
from pvit_data.storage.storage import Storage
from pvit_data.tasks.names import kind_of
from pvit_data.writing.card import CARD_NAME
from pvit_model.network.inference import FILE, Inference
from pvit_model.network.save import CONFIG, WEIGHTS, read_config
from pvit_model.publishing.card import About, write_card
from pvit_model.publishing.facts import Revision, RunFacts, Weights, find_weights, read_facts
from pvit_model.publishing.licences import require_allowed
from pvit_model.publishing.results import Measured, results_in, results_of_run
from pvit_model.using.export import export_model

CLASSES = "classes.csv"
AVERAGED = "ema.safetensors"


@dataclass(frozen=True)
class Stage:
    """A network as it is published, in a folder of its own.

    Args:
        folder: with the exported network.
        weights: which ones they are.
        facts: how they were made.
        results: what they reached.
        has_heads: whether auxiliary heads are in.
    """

    folder: Path
    weights: Weights
    facts: RunFacts
    results: tuple[Measured, ...]
    has_heads: bool

    @property
    def storage(self) -> Storage:
        """The folder, as what publishes takes it."""
        return Storage(self.folder)


@contextmanager
def staged(
    where: str, revision: Revision = "best", heads: bool = True, documents: Sequence[Path] = ()
) -> Iterator[Stage]:
    """Exports a network into a folder that is there for the block.

    Args:
        where: a run's folder, or another place of a network, see `pvit_model.using.loading.find_model`.
        revision: of a run, its best or its last checkpoint; averaged weights where there are any, which validations
            measure.
        heads: with auxiliary heads.
        documents: results of `pvit eval --out FILE` for these weights.

    Raises:
        UsageError: if there is no such model, or a document is of another one.
        FormatError: if its files cannot be used.
    """
    weights = find_weights(where, revision)
    facts = read_facts(weights.run) if weights.run is not None else RunFacts()
    with tempfile.TemporaryDirectory(prefix="pvit-publish-") as temporary:
        source = _with_averages(weights.folder, Path(temporary) / "averaged")
        inference = Inference.load(source)
        results: list[Measured] = []
        if weights.run is not None and weights.step is not None:
            results += results_of_run(weights.run, weights.step, facts, inference)
        with (source / WEIGHTS).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        certified = [*results_in(documents, digest)]
        better = {(each.source, each.target) for each in certified}
        results = [each for each in results if (each.source, each.target) not in better]
        folder = Path(temporary) / "model"
        export_model(str(source), folder, drop_heads=not heads)
        gone = {*inference.tasks} - {*Inference.load(folder).tasks}
        told = [each for each in (*results, *certified) if kind_of(each.target) not in gone]
        yield Stage(folder, weights, facts, tuple(told), not gone)


def _with_averages(folder: Path, copy: Path) -> Path:
    """The folder, or a copy whose weights are the averaged ones that lie beside them."""
    if not (folder / AVERAGED).is_file():
        return folder
    copy.mkdir()
    for name in (CONFIG, FILE):
        shutil.copyfile(folder / name, copy / name)
    shutil.copyfile(folder / AVERAGED, copy / WEIGHTS)
    return copy


def model_files(
    stage: Stage, repo: str, options: Options, confirmed: bool, card: str = ""
) -> list[File]:
    """What shall be in the repository, whatever is there now; nobody is asked.

    Args:
        repo: owner/name.
        options: whether the repository is private.
        confirmed: whoever publishes has the right to pass such weights on.
        card: that is there now, whose own words stay.

    Raises:
        LicenceError: if it may not be published so.
    """
    sentences = require_allowed(stage.facts.learned.rights, options.consent.private, confirmed)
    inference = Inference.load(stage.folder)
    about = About(
        repo=repo,
        backbone=read_config(stage.folder).backbone,
        inference=inference,
        facts=stage.facts,
        results=stage.results,
        step=stage.weights.step,
        has_heads=stage.has_heads,
        confirmed=sentences,
    )
    small = [File.of(name, (stage.folder / name).read_bytes()) for name in (CONFIG, FILE)]
    storage = stage.storage
    size, sha256 = storage.hash(WEIGHTS, (stage.folder / WEIGHTS).stat().st_size)
    return [
        File(WEIGHTS, size, sha256),
        *small,
        File.of(CLASSES, class_table(inference)),
        File.of(CARD_NAME, write_card(about, card)),
    ]


def plan_model(
    stage: Stage, repository: Repository, options: Options, confirmed: bool = False
) -> Plan:
    """Compares the network with what is in the repository, which is not changed.

    Raises:
        LicenceError: as `model_files`, and if the repository is public and should not be.
        StorageError: if the Hub does not answer.
    """
    there = repository.look()
    card = "" if there is None else repository.read(there, CARD_NAME, MAX_CARD_BYTES)
    files = model_files(stage, repository.repo, options, confirmed, card)
    if there is not None:
        require_private(repository, there, options)
    send = [file for file in files if there is None or not there.has(file, stage.storage)]
    if there is not None and options.tag:
        repository.require_tag(options.tag, None if send else there.commit)
    notes = notes_on(card, send, there)
    return Plan("Publish a model", tuple(files), tuple(send), there, notes=notes)


def class_table(inference: Inference) -> bytes:
    """The classes of every label space as CSV: space, id, name."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["space", "id", "name"])
    actions = [inference.action] if inference.action is not None else []
    for space in [*actions, *inference.spaces.values()]:
        rows = enumerate(space.classes, space.first)
        writer.writerows([space.name, number, name] for number, name in rows)
    return utf8(text.getvalue())
