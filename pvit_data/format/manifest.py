"""`manifest.json`: what a dataset consists of, and how to read it.

The version is MAJOR.MINOR. A reader refuses a newer major version; it reads every older one, and ignores keys that a
newer minor version added.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from pvit_data.errors import CorruptShardError, FormatError, PvitError, UsageError
from pvit_data.format.index import ROW_BYTES
from pvit_data.format.names import (
    LAYERS,
    MAX_NUMBER,
    RESERVED,
    SHARD_NAME,
    SOURCE_NAME,
    SPLITS,
    place_of,
)
from pvit_data.format.record import parse_json
from pvit_data.format.tar import BLOCK
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.rights import Rights, rights_of
from pvit_data.storage.files import utf8
from pvit_data.storage.storage import Storage
from pvit_data.words import first_problem

Model = TypeVar("Model", bound=BaseModel)
Count = Annotated[int, Field(ge=0, le=(1 << 53) - 1)]
"""What JSON can count exactly."""

NAME = "manifest.json"
FORMAT = "pvit-shards"
REMEMBERED = 256  # manifests
MAJOR, MINOR = 1, 0
LATER = "1.1"
"""Version of manifests that list layers or have lists of shards beside them, and of receipts with rows beside them."""
MAX_MANIFEST_BYTES = 1 << 24
SAMPLE_BYTES = 2 * BLOCK
"""What a sample takes in a shard at least: the header and the contents of its record."""

CONVENTIONS = {
    "image": "(0, 0) is the outer corner of the top-left pixel; pixel centres at +0.5; sRGB",
    "camera": "x right, y down, z forward (OpenCV); metres; (u, v, 1) ~ K (x, y, z)",
    "depth": "planar z in metres; 0 = invalid",
    "normal": "unit vectors in camera axes facing the camera; zero = invalid",
    "segm": "ids of the label space; 255 (8 bit) or 65535 (16 bit) = not labelled",
    "pose": "Kinect v2 joints, metres, camera axes; validity 0 absent, 1 derived, 2 exact; pose2d in pixels",
    "boxes": "x1 y1 x2 y2 in [0, 1], half-open; frame, class, track, role, side, contact, partner; -1 = unknown",
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Grown(_Part):
    """Has keys that the first files of format 1.0 do not have; they are stored only where they say something."""

    later: ClassVar[tuple[str, ...]]

    @model_serializer(mode="wrap")
    def _as_stored(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        fields = type(self).model_fields
        for name in self.later:
            if getattr(self, name) == fields[name].get_default(call_default_factory=True):
                values.pop(name, None)
        return values


class SourceSpec(_Grown):
    """What holds for all samples of a source.

    Args:
        name: of its folder and Hub configuration: `[a-z0-9_-]`.
        licence: SPDX id or short name.
        redistributable: whether the shards may be published.
        citation: BibTeX.
        title: full name.
        converter, converter_version, options: what made the shards.
        spaces: label spaces by field (`"segm"`, `"boxes"`, `"action"`).
        encodings: how fields are stored where not by default: `{"depth": "float32" | "uint16:0.001",
            "normal": "octahedral"}`.
        role: `"auxiliary"` or `"downstream"`.
        tasks: auxiliary tasks that this source is meant for.
        sampler: how clips are sampled from its videos (`pvit_data.clips.frames`); "" where it declares none.
        clips_within: name of the entry of `meta` with `[first, end)`, the frames that clips are taken from; "": all.
        derived: whether the licence lets annotations be passed on that were made from its pictures: `"yes"`, `"no"`,
            or `"unknown"`, which counts as no.
        derived_clause: what the licence says of that, in a sentence. Of a layer both say this of its base.
        rights: of fields, and of `"record"`, where they differ from the above; see `Rights`.
        notes: sentences about the conversion.
    """

    later: ClassVar[tuple[str, ...]] = ("derived", "derived_clause", "rights")

    name: str
    licence: str = ""
    redistributable: bool = False
    citation: str = ""
    title: str = ""
    converter: str = ""
    converter_version: str = ""
    options: dict[str, Any] = Field(default_factory=dict)
    spaces: dict[str, LabelSpace] = Field(default_factory=dict)
    encodings: dict[str, str] = Field(default_factory=dict)
    role: str = "auxiliary"
    tasks: tuple[str, ...] = ()
    sampler: str = ""
    clips_within: str = ""
    derived: Literal["yes", "no", "unknown"] = "unknown"
    derived_clause: str = ""
    rights: dict[str, Rights] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)

    @property
    def folder(self) -> str:
        """Where it lies in its dataset."""
        return self.name

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not SOURCE_NAME.match(name):
            raise UsageError(
                f"source name {name!r}: expected 1 to 40 characters of a-z, 0-9, '_' and '-'"
            )
        return name


class BaseRef(_Grown):
    """What a layer was made over.

    Args:
        source: name of the base.
        converter, converter_version: what made its shards.
        licence, redistributable: of its pictures.
    """

    later: ClassVar[tuple[str, ...]] = ("licence", "redistributable")

    source: str
    converter: str = ""
    converter_version: str = ""
    licence: str = ""
    redistributable: bool = False

    @classmethod
    def of(cls, spec: SourceSpec) -> BaseRef:
        """A reference to a source."""
        made_by = {"converter": spec.converter, "converter_version": spec.converter_version}
        pictures = rights_of(spec, "rgb")
        is_open = pictures.public == "yes"
        return cls(source=spec.name, licence=pictures.licence, redistributable=is_open, **made_by)


class LayerSpec(SourceSpec):
    """What holds for all rows of a layer: annotations, or splits and labels, of samples whose pictures are elsewhere.

    Licence and redistributable are its own, not its base's.

    Args:
        base: what it was made over.
        kind: `"annotation"`: fields for the base's rows; `"protocol"`: splits, and labels where it declares them.
        attach: `"default"`, or `"on-request"`: detections to be scored, a model's output; used only when it is named.
        made_by: the tool or people that made it, with version; "" where a converter of ours did.
        confidence: what its scores mean, or how sure it is, in a sentence.
        weights: of the model that made it, by name or address, with a hash; "" where none did.
    """

    later: ClassVar[tuple[str, ...]] = (*SourceSpec.later, "weights")

    base: BaseRef
    kind: Literal["annotation", "protocol"] = "annotation"
    attach: Literal["default", "on-request"] = "default"
    made_by: str = ""
    confidence: str = ""
    weights: str = ""

    @property
    def folder(self) -> str:
        """See `SourceSpec`."""
        return f"{LAYERS}/{self.name}"

    @model_validator(mode="after")
    def _other_than_base(self) -> LayerSpec:
        if self.name == self.base.source:
            raise ValueError(f"layer '{self.name}' is called as its base")
        if RESERVED.match(self.name):
            raise ValueError(f"layer '{self.name}': so a folder of the format is called")
        return self


class ShardInfo(_Part):
    """One shard: its path in the dataset, samples, bytes and hash of the whole file."""

    name: str
    samples: Count
    bytes: Count
    sha256: str

    @property
    def number(self) -> int:
        """Its number in the split."""
        return place_of(self.name).number

    @field_validator("name")
    @classmethod
    def _inside(cls, name: str) -> str:
        if not SHARD_NAME.match(name):
            raise ValueError(f"shard name {name[:100]!r} is not SOURCE/SPLIT-NUMBER.tar")
        return name


class FileInfo(_Part):
    """A file other than a shard."""

    bytes: Count
    sha256: str


class ShardListInfo(FileInfo):
    """A list of shards in a file of its own (see `shard_list`).

    Args:
        count: number of shards.
        last: highest number of a shard.
    """

    count: Annotated[int, Field(ge=1, le=MAX_NUMBER)]
    last: Annotated[int, Field(ge=0, le=MAX_NUMBER)]


class SplitInfo(_Grown):
    """One split of a source.

    Args:
        samples, frames, bytes: totals.
        fields: number of samples that carry each field.
        index: size and hash of `SOURCE/index/SPLIT.parquet`.
        skipped: number of skipped samples by reason.
        shards: in order; [] where a file lists them.
        shard_list: that file, `SOURCE/index/SPLIT.shards.parquet`.
    """

    later: ClassVar[tuple[str, ...]] = ("shard_list",)

    samples: Count
    frames: Count
    bytes: Count
    fields: dict[str, Count]
    members: list[str]
    index: FileInfo
    skipped: dict[str, Count] = Field(default_factory=dict)
    shards: list[ShardInfo]
    shard_list: ShardListInfo | None = None

    @property
    def last(self) -> int:
        """Highest number of a shard; -1 where there is none."""
        if self.shard_list is not None:
            return self.shard_list.last
        return max((shard.number for shard in self.shards), default=-1)

    @model_validator(mode="after")
    def _one_list(self) -> SplitInfo:
        """Shards are listed in one place."""
        if self.shard_list is not None and self.shards:
            raise ValueError("its shards are listed both here and in a file")
        return self

    @property
    def room(self) -> int:
        """How many samples its shards have room for."""
        listed = sum(shard.bytes for shard in self.shards)
        return (self.bytes if self.shard_list is not None else listed) // SAMPLE_BYTES


class SourceEntry(_Part):
    """A source, or a layer, with its splits."""

    spec: SourceSpec
    splits: dict[str, SplitInfo]

    @property
    def fields(self) -> frozenset[str]:
        """Fields that a sample of it carries."""
        return frozenset(name for info in self.splits.values() for name in info.fields)

    @model_validator(mode="after")
    def _own(self) -> SourceEntry:
        """Splits and shards are of this source, with room for its samples: before anything is allocated for them."""
        for split, info in self.splits.items():
            room = info.room
            if isinstance(self.spec, LayerSpec) and self.spec.kind == "protocol":
                room = max(room, info.index.bytes // ROW_BYTES)  # its rows may lie there alone
            if info.samples > room:
                text = f"{info.samples} samples do not fit into its shards, which hold {room}"
                raise ValueError(text)
            if split not in SPLITS:
                raise ValueError(f"split {split[:40]!r} is none of {', '.join(SPLITS)}")
            own = (self.spec.folder, split)
            if wrong := [shard.name for shard in info.shards if place_of(shard.name)[:2] != own]:
                raise ValueError(f"shard {wrong[0]!r} is not of {self.spec.folder}/{split}")
        return self


class LayerEntry(SourceEntry):
    """A layer with its splits."""

    spec: LayerSpec


class Manifest(_Grown):
    """The whole file.

    Args:
        checksum: sha256 of the file as it would be with an empty checksum.
    """

    later: ClassVar[tuple[str, ...]] = ("layers",)

    format: str = FORMAT
    version: str = f"{MAJOR}.{MINOR}"
    conventions: dict[str, str] = Field(default_factory=lambda: dict(CONVENTIONS))
    sources: dict[str, SourceEntry]
    layers: dict[str, LayerEntry] = Field(default_factory=dict)
    checksum: str

    @property
    def entries(self) -> dict[str, SourceEntry]:
        """Sources and layers, by their folders."""
        layers: dict[str, SourceEntry] = {e.spec.folder: e for e in self.layers.values()}
        return {**self.sources, **layers}

    @model_validator(mode="after")
    def _named(self) -> Manifest:
        """Sources and layers are listed by their names."""
        entries = [*self.sources.items(), *self.layers.items()]
        if wrong := [name for name, entry in entries if name != entry.spec.name]:
            raise ValueError(f"source {wrong[0][:60]!r} is called otherwise in its own entry")
        return self

    def sealed(self) -> Manifest:
        """With its checksum."""
        plain = self.model_copy(update={"checksum": ""})
        return plain.model_copy(update={"checksum": hashlib.sha256(dump(plain)).hexdigest()})

    def to_bytes(self) -> bytes:
        """As stored: sorted keys, two blanks of indent, the same bytes every time."""
        return dump(self)


def dump(model: BaseModel) -> bytes:
    """A model as stored JSON: sorted keys, two blanks of indent, final newline."""
    values = model.model_dump(mode="json")
    return utf8(
        json.dumps(values, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    )


_recent: OrderedDict[tuple[str, str], Manifest] = OrderedDict()


def read_manifest(storage: Storage) -> Manifest:
    """Reads and checks the manifest of a dataset; one that has not changed since is remembered.

    Raises:
        FormatError: if it is damaged or of a newer major version.
        StorageError: if it cannot be read.
    """
    key = storage.where(NAME), storage.version(NAME)
    if not key[1]:
        return _read(storage)
    if key not in _recent:
        _recent[key] = _read(storage)
        if len(_recent) > REMEMBERED:
            _recent.popitem(last=False)
    return _recent[key]


def _read(storage: Storage) -> Manifest:
    where = storage.where(NAME)
    data = storage.read(NAME, MAX_MANIFEST_BYTES)
    values = parse_json(data, where, MAX_MANIFEST_BYTES)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise FormatError(f"{where} is not the manifest of a PViT dataset")
    check_version(str(values.get("version", "")), where)
    manifest = parse(Manifest, values, where)
    plain = data.replace(f'"checksum": "{manifest.checksum}"'.encode(), b'"checksum": ""', 1)
    if manifest.checksum != hashlib.sha256(plain).hexdigest():
        raise CorruptShardError(
            f"{where} was changed or damaged: build it again with 'pvit-data finish'"
        )
    return manifest


def check_version(version: str, where: str) -> None:
    """Refuses a newer major version.

    Raises:
        FormatError: if it is newer, or no version.
    """
    match = re.fullmatch(r"(\d{1,6})\.(\d{1,6})", version)
    if match is None:
        raise FormatError(f"{where} has version {version[:20]!r}, expected MAJOR.MINOR")
    if int(match[1]) > MAJOR:
        raise FormatError(
            f"{where} has format version {version}, this reader knows {MAJOR}.x: update pvit-toolkit"
        )


def parse(model: type[Model], values: Any, where: str | Path) -> Model:
    """Validates JSON values as a model.

    Raises:
        FormatError: on the first value that does not fit, with its place.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise FormatError(f"{where}: {first_problem(error)}") from error
    except PvitError as error:  # of a source's name, or a label space
        raise FormatError(f"{where}: {error}") from error
