"""One task: convert the samples of one shard and write it. Runs in whatever process the executor chose.

It tells which sample it begins: if the process dies (a decoder that crashes, the out-of-memory killer), whoever
restarts the task knows which one was at fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from pvit_converters.base import Converter, ConverterOptions, Item, Unwanted
from pvit_converters.engine.over_base import OVER, BaseAt, make_converter, places_of, require_same
from pvit_converters.engine.place import tables_folder
from pvit_converters.engine.plan import ShardPlan
from pvit_converters.layers import LayerConverter
from pvit_converters.raw.places import reading_within
from pvit_converters.raw.reencoding import REENCODED, Reencoding, reencode, saving
from pvit_converters.raw.windows import keeping_tables
from pvit_data.errors import CorruptShardError, FormatError, PvitError, SourceError
from pvit_data.format.manifest import SourceSpec
from pvit_data.format.receipts import Skip
from pvit_data.sample.sample import Sample
from pvit_data.storage.storage import Storage
from pvit_data.writing.shard import write_shard

Tick = Callable[[int], None]
Begin = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """Everything that is needed to write one shard, anywhere.

    Args:
        converter: the source's class.
        root: folder of the raw data.
        options: of the converter.
        out: folder or URL of the dataset.
        spec: declaration of the source.
        shard: what to write.
        fingerprint: hash of the plan's identity, kept in the receipt.
        poison: keys of samples that killed their process before; they are skipped.
        unlisted: by key why a sample is not read, since the plan names what is not there; they are skipped.
        follow_links: links in the raw tree may lead out of it.
        is_watched: a worker died at it, so that now each sample is told of before it is read.
        base: of a layer, where its base is.
        reencoding: what becomes of the pictures, where they do not stay as they are.
    """

    converter: type[Converter[Any]]
    root: Path | str
    options: ConverterOptions
    out: str
    spec: SourceSpec
    shard: ShardPlan
    fingerprint: str
    poison: frozenset[str] = frozenset()
    unlisted: Mapping[str, str] = field(default_factory=dict)
    follow_links: bool = False
    is_watched: bool = False
    base: BaseAt | None = None
    reencoding: Reencoding | None = None


class Outcome(NamedTuple):
    """What became of a task.

    Args:
        samples: samples in the shard.
        bytes: size of the shard.
        skipped: samples that failed.
    """

    samples: int
    bytes: int
    skipped: list[Skip]


@lru_cache(maxsize=2)
def _converter(
    kind: type[Converter[Any]], root: Path | str, options: ConverterOptions, base: BaseAt | None
) -> Converter[Any]:
    return make_converter(kind, root, options, base.address if base else "")


def _ignore(_value: object) -> None:
    pass


def run_task(task: Task, tick: Tick = _ignore, begin: Begin = _ignore) -> Outcome:
    """Writes one shard and its receipt.

    Args:
        task: what to do.
        tick: called with 1 after every sample.
        begin: called with the key of every sample before it is read.

    Raises:
        PvitError: if the shard as a whole cannot be written; a sample that fails is listed instead.
    """
    extra: dict[str, object] = {"plan": task.fingerprint}
    places = places_of(task.converter, task.root, task.options)
    tables = tables_folder(Storage(task.out), task.spec.folder)
    with (
        reading_within(places, follow_links=task.follow_links),
        keeping_tables(tables),
    ):
        converter = _converter(task.converter, task.root, task.options, task.base)
        rows = None
        if isinstance(converter, LayerConverter):
            extra[OVER] = task.shard.over
            require_same(task.shard.over, converter.base.rows)
            rows = converter.base.look_up([item.key for item in task.shard.items])
        samples = _samples(task, converter, extra, tick, begin)
        receipt = write_shard(
            task.out,
            task.spec,
            task.shard.split,
            task.shard.number,
            samples,
            extra,
            skip_invalid=True,
            base=rows,
        )
    return Outcome(receipt.samples, receipt.bytes, list(receipt.skipped))


def _samples(
    task: Task, converter: Converter[Any], extra: dict[str, object], tick: Tick, begin: Begin
) -> Iterator[Sample | Skip]:
    """The samples of the shard in order; counts of warnings and unwanted samples go to `extra` on the way."""
    warnings, unwanted, saved = Counter[str](), Counter[str](), Counter[str]()
    for item in task.shard.items:
        if item.key in task.poison:
            yield Skip(
                item.key,
                "killed-worker",
                f"{item.key}: its conversion killed the process, more than once",
            )
            tick(1)
            continue
        if item.key in task.unlisted:
            yield Skip(item.key, "not-listed", task.unlisted[item.key])
            tick(1)
            continue
        begin(item.key)
        try:
            sample = load_checked(converter, item, task.reencoding)
        except Unwanted as reason:
            unwanted[str(reason)] += 1
        except SourceError as error:
            yield Skip(item.key, error.reason, str(error))
        except FormatError as error:
            yield Skip(item.key, "schema", str(error))
        else:
            warnings.update(sample.meta.get("warnings", []))
            saved.update(saving(sample))
            yield sample
        extra |= {
            "warnings": dict(sorted(warnings.items())),
            "unwanted": dict(sorted(unwanted.items())),
        }
        if saved:
            extra[REENCODED] = dict(sorted(saved.items()))
        tick(1)


def load_checked(
    converter: Converter[Any], item: Item, reencoding: Reencoding | None = None
) -> Sample:
    """`Converter.load`, with unexpected errors of decoders turned into `SourceError`.

    Args:
        converter: of the source.
        item: to load.
        reencoding: what becomes of its pictures.

    Raises:
        SourceError: if the sample cannot be read; unexpected errors have the reason `"unexpected"`.
        Unwanted: if the options leave the sample out.
    """
    try:
        sample = converter.load(item)
        if reencoding is not None:
            reencode(sample, reencoding)
        return sample
    except FileNotFoundError as error:
        raise SourceError(
            f"{error.filename}: no such file (it was there before)", reason="missing-file"
        ) from error
    except OSError as error:
        raise SourceError(
            f"{error.filename or item.key}: {error.strerror or error}", reason="unreadable"
        ) from error
    except MemoryError as error:
        raise SourceError(
            f"{item.key}: needs more memory than there is", reason="out-of-memory"
        ) from error
    except CorruptShardError as error:  # of the base that a layer is made over
        raise SourceError(f"{item.key}: {error}", reason="damaged-base") from error
    except (PvitError, Unwanted):
        raise
    except Exception as error:  # of whatever library: it costs one sample
        message = f"{item.key}: unexpected {type(error).__name__}: {error}"
        raise SourceError(message, reason="unexpected") from error
