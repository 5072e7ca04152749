"""`manifest.json`: what a dataset consists of, and how to read it.

The version is MAJOR.MINOR. A reader refuses a newer major version; it reads every older one, and ignores keys that a
newer minor version added.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pvit_data.errors import CorruptShardError, FormatError, UsageError
from pvit_data.format.record import parse_json
from pvit_data.sample.labels import LabelSpace
from pvit_data.storage.files import utf8
from pvit_data.storage.storage import Storage
from pvit_data.words import first_problem

Model = TypeVar("Model", bound=BaseModel)

NAME = "manifest.json"
FORMAT = "pvit-shards"
MAJOR, MINOR = 1, 0
SOURCE_NAME = re.compile(r"[a-z0-9_-]{1,40}\Z")
SPLITS = ("train", "val", "test")
SHARD_NAME = re.compile(r"[a-z0-9_-]{1,40}/(train|val|test)-\d{5,9}\.tar\Z")

CONVENTIONS = {
    "image": "(0, 0) is the outer corner of the top-left pixel; pixel centres at +0.5; sRGB",
    "camera": "x right, y down, z forward (OpenCV); metres; (u, v, 1) ~ K (x, y, z)",
    "depth": "planar z in metres; 0 = invalid",
    "normal": "unit vectors in camera axes facing the camera; zero = invalid",
    "segm": "ids of the label space; 255 (8 bit) or 65535 (16 bit) = not labelled",
    "pose": "Kinect v2 joints, metres, camera axes; validity 0 absent, 1 derived, 2 exact; pose2d in pixels",
    "boxes": "x1 y1 x2 y2 in [0, 1], half-open; frame, class, track, role, side, contact, partner; -1 = unknown",
}


class SourceSpec(BaseModel):
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
        notes: sentences about the conversion.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

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
    notes: list[str] = Field(default_factory=list)

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not SOURCE_NAME.match(name):
            raise UsageError(
                f"source name {name!r}: expected 1 to 40 characters of a-z, 0-9, '_' and '-'"
            )
        return name


class ShardInfo(BaseModel):
    """One shard: its path in the dataset, samples, bytes and hash of the whole file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    samples: int
    bytes: int
    sha256: str

    @property
    def number(self) -> int:
        """Its number in the split."""
        return int(self.name.rpartition("-")[2].removesuffix(".tar"))

    @field_validator("name")
    @classmethod
    def _inside(cls, name: str) -> str:
        if not SHARD_NAME.match(name):
            raise ValueError(f"shard name {name!r} is not SOURCE/SPLIT-NUMBER.tar")
        return name


class FileInfo(BaseModel):
    """A file other than a shard."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    bytes: int
    sha256: str


class SplitInfo(BaseModel):
    """One split of a source.

    Args:
        samples, frames, bytes: totals.
        fields: number of samples that carry each field.
        index: size and hash of `SOURCE/index/SPLIT.parquet`.
        skipped: number of skipped samples by reason.
        shards: in order.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    samples: int
    frames: int
    bytes: int
    fields: dict[str, int]
    members: list[str]
    index: FileInfo
    skipped: dict[str, int] = Field(default_factory=dict)
    shards: list[ShardInfo]


class SourceEntry(BaseModel):
    """A source with its splits."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    spec: SourceSpec
    splits: dict[str, SplitInfo]


class Manifest(BaseModel):
    """The whole file.

    Args:
        checksum: sha256 of the file as it would be with an empty checksum.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: str = FORMAT
    version: str = f"{MAJOR}.{MINOR}"
    conventions: dict[str, str] = Field(default_factory=lambda: dict(CONVENTIONS))
    sources: dict[str, SourceEntry]
    checksum: str

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


def read_manifest(storage: Storage) -> Manifest:
    """Reads and checks the manifest of a dataset.

    Raises:
        FormatError: if it is damaged or of a newer major version.
        StorageError: if it cannot be read.
    """
    where = f"{storage.url.rstrip('/')}/{NAME}"
    data = storage.read(NAME)
    values = parse_json(data, where)
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
