"""What a converter is: a source's declaration, its options, and two methods (list the items, load one).

A converter turns one raw tree into `pvit_data.Sample`s and does nothing else. The engine plans shards from the items,
calls `load` in workers, counts what was skipped and writes the shards. Third parties register a converter under
the entry-point group `pvit.converters`; the built-in ones do the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.rights import Rights
from pvit_data.sample.sample import Sample


@dataclass(frozen=True)
class SourceInfo:
    """What a user must know about a source before converting it.

    Args:
        name: name of the source, of its folder in the shards and of its Hub configuration.
        title: its full name.
        licence: SPDX id or a short name of its licence.
        redistributable: whether converted data may be published.
        citation: BibTeX.
        obtain: how to get the raw data, and which files are needed.
        tree: the expected raw folder, as text.
        produces: fields of the samples, for example `("rgb", "depth", "normal")`.
        tasks: the auxiliary tasks the paper trains with this source (supplement, table 7).
        role: `"auxiliary"` (synthetic) or `"downstream"` (real).
        sampler: clip sampler by which results on this source are published, `""`: none in particular.
        clips_within: name of the entry of `Sample.meta` that holds `[first, end)`, the frames from which clips are
            taken where a stored video shows more; `""`: all of it.
        derived: whether its licence lets annotations be passed on that were made from its pictures: `"yes"`, `"no"`,
            or `"unknown"`, which counts as no.
        derived_clause: what the licence says of that, in a sentence, and whether it was read.
        rights: of fields that are under another licence than the source, or for another reason, by field; `"record"`
            are keys, splits, sizes and `meta`.
        spaces: label spaces by field, each its name and what it holds: `{"action": "ssv2 (174 classes)"}`.
        verified: what was checked on real files of this source and what was not, in sentences.
    """

    name: str
    title: str
    licence: str
    redistributable: bool
    citation: str
    obtain: str
    tree: str
    produces: tuple[str, ...]
    tasks: tuple[str, ...] = ()
    role: str = "auxiliary"
    sampler: str = ""
    clips_within: str = ""
    derived: Literal["yes", "no", "unknown"] = "unknown"
    derived_clause: str = ""
    rights: Mapping[str, Rights] = field(default_factory=dict)
    spaces: Mapping[str, str] = field(default_factory=dict)
    verified: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One sample that could be converted.

    Args:
        key: the sample's key, unique in the source.
        group: scene or video id; a group is never torn apart by shards or splits.
        split: `"train"`, `"val"`, `"test"`, or "" where the source has no split of its own.
        ref: JSON values from which `Converter.load` finds the raw data (relative paths, ids).
        size: estimated bytes in the shard.
    """

    key: str
    group: str
    split: str
    ref: Mapping[str, Any]
    size: int


@dataclass
class Listing:
    """What `Converter.list_items` found.

    Args:
        items: the samples to convert, in any order.
        absent: counts of listed samples that are not there, by reason; not failures.
        notes: sentences for the summary (what was guessed, detected, left out and why).
        classes: of each group, where some groups of every class are to be held out (`--holdout`); {}: whichever.
    """

    items: list[Item]
    absent: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    classes: Mapping[str, Collection[str]] = field(default_factory=dict)


class Unwanted(Exception):
    """Raised by `Converter.load` for a sample that is fine but that the options leave out; not a failure.

    Its text is the reason, by which such samples are counted.
    """


class ConverterOptions(BaseModel):
    """Options of one converter; every field becomes a command-line flag with its description as help.

    Attributes:
        selects: names of the options that only choose samples and change none; `--append` may change these.
        raw: names of the options that say where raw data lie; what lies there may change, as in the root.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    selects: ClassVar[frozenset[str]] = frozenset()
    raw: ClassVar[frozenset[str]] = frozenset()


@dataclass(frozen=True)
class AskedLayer:
    """A layer that is made over a source as soon as that is converted.

    Args:
        converter: name of the layer's converter.
        root: folder of its raw annotations.
    """

    converter: str
    root: Path


OptionsT = TypeVar("OptionsT", bound=ConverterOptions)


class Converter(ABC, Generic[OptionsT]):
    """Reads one raw source. Instances are cheap to build and picklable, since every worker builds its own.

    A source is known by its name (`info.name`, under which it is registered) and `version`, wherever its class lives:
    a conversion continues under the same two only. Raise `version` when the same raw data give other shards.

    Args:
        root: folder of the raw data.
        options: an instance of `Options`; `class MyConverter(Converter[MyOptions])` gives it its type.

    Attributes:
        holdout: percentage of the groups that become `val` where the source has no splits, unless the user says it.
        lists_first: `identity` and `spaces` need the listing, which is kept, so that asking for it again costs nothing:
            then a finished conversion tells what is new.

    Raises:
        SourceError: if `root` is missing or is not this source's tree.
    """

    info: ClassVar[SourceInfo]
    version: ClassVar[str] = "1"
    Options: ClassVar[type[ConverterOptions]] = ConverterOptions
    holdout: ClassVar[float] = 1.0
    lists_first: ClassVar[bool] = False

    def __init__(self, root: Path, options: OptionsT) -> None:
        self.root = Path(root)
        self.options = options

    @classmethod
    def places(cls, root: Path, options: OptionsT) -> list[Path]:
        """The folders and files that the user named: nothing outside them is read (see `raw.places`).

        These are the root and all options that are paths; a source that takes further ones as texts adds them.
        """
        named = (getattr(options, name) for name in type(options).model_fields)
        return [Path(root), *(value for value in named if isinstance(value, Path))]

    def source(self) -> SourceInfo:
        """What is said of the source that is made: `info`, unless it depends on the options."""
        return self.info

    def identity(self) -> dict[str, Any]:
        """What decides the shards besides the options, as JSON values; a conversion continues only where it is equal.

        For example the classes, where they are read from the raw data and samples are planned with their numbers.
        """
        return {}

    @classmethod
    def layers_asked(cls, options: OptionsT) -> tuple[OptionsT, list[AskedLayer]]:
        """The options of the source alone, and the layers that its options ask for besides, over what is converted.

        Raises:
            UsageError: if an option of a layer is missing.
        """
        return options, []

    @abstractmethod
    def spaces(self) -> dict[str, LabelSpace]:
        """Label spaces of the samples, by field (`"segm"`, `"boxes"`, `"action"`)."""

    @abstractmethod
    def list_items(self) -> Listing:
        """All samples that the options select, by names and sizes; at most a few are decoded, to detect and check.

        The outcome of such checks belongs into `Listing.notes`: it is printed and kept in the manifest.

        Raises:
            SourceError: if nothing can be found; the message names what was looked for, where, and how to get it.
        """

    @abstractmethod
    def load(self, item: Item) -> Sample:
        """Reads one sample.

        A list of short names in `meta["warnings"]` is counted in the report: things a user should know about that
        did not make the sample useless.

        Raises:
            Unwanted: if the options leave the sample out after a look at its data.
            SourceError: if the sample cannot be read; the engine skips it and counts `SourceError.reason`.
        """
