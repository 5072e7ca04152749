"""One shard: samples in, a tar with a known hash and its receipt out. Complete under its final name, or not there.

The receipt is written last and is the mark that the shard is done; the rows that the shard adds to the index are
written before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import deflate

from pvit_data.codecs.dense import check_choices
from pvit_data.errors import FormatError, PvitError, UsageError
from pvit_data.format.index import index_row
from pvit_data.format.manifest import LayerSpec, SourceSpec
from pvit_data.format.names import SPLITS, part_of, shard_name
from pvit_data.format.receipts import (
    MAX_SHARD_SAMPLES,
    Receipt,
    Skip,
    remove_receipt,
    store_source,
    write_receipt,
)
from pvit_data.format.rows import Rows, is_told_by_row
from pvit_data.format.tar import BLOCK, END, padded, write_member
from pvit_data.sample.origins import Whose
from pvit_data.sample.sample import Sample
from pvit_data.sample.taking import without_base
from pvit_data.storage.storage import Storage
from pvit_data.writing.base_rows import BaseRow
from pvit_data.writing.encode import Encoded, Encoding, encode_sample
from pvit_data.writing.licences import as_declared, other_licences, stricter_ones


def encoding_of(source: SourceSpec, split: str) -> Encoding:
    """How a source's samples are encoded.

    Raises:
        UsageError: if the split or an encoding has an unknown name.
    """
    if split not in SPLITS:
        raise UsageError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
    check_choices(source.encodings)
    return Encoding(source.name, split, source.licence, source.spaces, source.encodings)


def encode_for(
    source: SourceSpec, sample: Sample, encoding: Encoding, base: Mapping[str, BaseRow] | None
) -> Encoded:
    """A sample of a source, or of a layer, as it lies in a shard.

    Args:
        source: its declaration.
        sample: to encode.
        encoding: of its split.
        base: of a layer, rows of its base by key; what they tell is filled in.

    Raises:
        FormatError: if it breaks the schema, or the base has no such row.
    """
    if not isinstance(source, LayerSpec):
        return encode_sample(sample, encoding)
    row = (base or {}).get(sample.key)
    if row is None:
        raise FormatError(
            f"sample '{sample.key}' is none of the samples of '{source.base.source}' that the shard is over"
        )
    own = without_base(sample, source.base.source)
    return encode_sample(row.fill(own, source.kind), encoding, row.crc32)


class ShardFile:
    """A shard being written under a temporary name.

    Args:
        storage: the dataset.
        source: what holds for all samples.
        split: `"train"`, `"val"` or `"test"`.
        number: of the shard.
        base: of a layer whose samples are added, the rows of its base by key; what they tell is filled in.

    Raises:
        StorageError: if the file cannot be created.
    """

    def __init__(
        self,
        storage: Storage,
        source: SourceSpec,
        split: str,
        number: int,
        base: Mapping[str, BaseRow] | None = None,
    ) -> None:
        self.storage = storage
        self.source = source
        self.split = split
        self.number = number
        self.name = shard_name(source.folder, split, number)
        self._encoding = encoding_of(source, split)
        self._base = base
        self._rows = Rows()
        self._keys: set[str] = set()
        self._licences: set[str] = set()
        self._taken: set[Whose] = set()
        self._sealed = False
        self._writer = storage.create(self.name)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._writer.size

    @property
    def samples(self) -> int:
        """Samples written so far."""
        return len(self._rows)

    def add(self, sample: Sample) -> None:
        """Encodes and appends a sample; nothing is appended when it is refused.

        Raises:
            FormatError: if the sample breaks the schema or its key is in the shard already, or an encoder fails.
            UsageError: if the shard has `MAX_SHARD_SAMPLES` already.
            StorageError: if the file cannot be written.
        """
        if len(self._rows) == MAX_SHARD_SAMPLES:
            raise UsageError(
                f"{self.name} has {MAX_SHARD_SAMPLES} samples, and a shard takes no more: make shards smaller, "
                "or groups, which never spread over two"
            )
        if sample.key in self._keys:
            raise FormatError(
                f"sample '{sample.key}' is in {self.name} already: keys must be unique"
            )
        num_boxes = 0 if sample.boxes is None else len(sample.boxes)
        try:
            encoded = encode_for(self.source, sample, self._encoding, self._base)
        except PvitError:
            raise
        except Exception as error:  # of whatever library: one sample must not end a conversion
            message = f"sample '{sample.key}': cannot be encoded ({type(error).__name__}: {error})"
            raise FormatError(message) from error
        self.append(encoded, num_boxes)

    def seal(self) -> None:
        """Ends the archive and closes the file, still under its temporary name.

        Raises:
            StorageError: if the file cannot be written.
        """
        if not self._sealed:
            self._writer.write(END)
            self._writer.close()
            self._sealed = True

    def publish(self, skipped: list[Skip], extra: Mapping[str, Any]) -> Receipt:
        """Gives the shard its final name and writes the receipt.

        Raises:
            StorageError: if the file cannot be written; it is not visible then.
        """
        self.seal()
        receipt = Receipt(
            name=self.name,
            source=self.source.folder,
            split=self.split,
            number=self.number,
            samples=len(self._rows),
            bytes=self._writer.size,
            sha256=self._writer.sha256,
            skipped=skipped,
            licences=other_licences(self._licences, as_declared(self.source).licence),
            taken=stricter_ones(self.source, self._taken),
            extra=dict(extra),
        )
        remove_receipt(self.storage, receipt)
        self._writer.publish()
        receipt = write_receipt(self.storage, receipt, self._rows.table())
        if part_of(self.number):  # where it lay before format 1.1
            self.storage.remove(shard_name(self.source.folder, self.split, self.number, part=0))
        return receipt

    def discard(self) -> None:
        """Removes the temporary file."""
        self._writer.discard()

    def append(self, encoded: Encoded, num_boxes: int) -> None:
        """Appends a sample that is encoded already; its key is not in the shard. What its index row says has no files.

        Raises:
            StorageError: if the file cannot be written.
        """
        key = encoded.record.key
        is_told = is_told_by_row(encoded.record, self.source, self.split)
        places: dict[str, tuple[int, int, int]] = {}
        blocks = []
        position = self._writer.size
        for extension, data in ({} if is_told else encoded.files).items():
            places[extension] = (position + BLOCK, len(data), deflate.crc32(data))
            blocks.append(write_member(f"{key}.{extension}", data))
            position += BLOCK + padded(len(data))
        self._writer.write(b"".join(blocks))
        self._keys.add(key)
        self._licences.add(encoded.record.licence)
        self._taken |= {*encoded.taken}
        self._rows.add(index_row(self.name, encoded.record, num_boxes, places))


def write_shard(
    out: str | Path,
    source: SourceSpec,
    split: str,
    number: int,
    samples: Iterable[Sample | Skip],
    extra: Mapping[str, Any] | None = None,
    *,
    skip_invalid: bool = False,
    base: Mapping[str, BaseRow] | None = None,
) -> Receipt:
    """Writes one shard, then its receipt. The same samples give the same bytes.

    Args:
        out: folder or URL of the dataset.
        source: what holds for all samples of the source.
        split: `"train"`, `"val"` or `"test"`.
        number: of the shard in its split.
        samples: in shard order; a `Skip` among them is listed in the receipt.
        extra: kept in the receipt (JSON), for example a hash of the plan.
        skip_invalid: list samples that break the schema as skipped (reason `"schema"`) instead of raising.
        base: of a layer, the rows of its base by key.

    Raises:
        FormatError: if a sample breaks the schema, or a key comes twice.
        UsageError: if the dataset has this source with other options.
        StorageError: if the disk is full or fails. Nothing stays behind in any of these cases.
    """
    storage = Storage(out)
    store_source(storage, source)
    shard = ShardFile(storage, source, split, number, base)
    skipped: list[Skip] = []
    try:
        for sample in samples:
            if isinstance(sample, Skip):
                skipped.append(sample)
                continue
            try:
                shard.add(sample)
            except FormatError as error:
                if not skip_invalid:
                    raise
                skipped.append(Skip(sample.key, "schema", str(error)))
        return shard.publish(skipped, extra or {})
    except BaseException:
        shard.discard()
        raise


def file_hash(data: bytes) -> str:
    """sha256 in hexadecimal, as the manifest holds it."""
    return hashlib.sha256(data).hexdigest()
