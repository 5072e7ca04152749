"""Multi-page TIFF: strict reader and writer of exactly the subset that dense maps are stored in.

Classic little-endian TIFF (TIFF 6.0, Adobe 1992), one strip per page, Adobe deflate (compression 8), and the
horizontal predictor (section 14) where it helps. All page directories lie one after another behind the 8-byte header,
then the strips in page order, so that the number of pages, every size and every offset follow from the first directory
and the strip lengths: the reader builds the header again from these and compares it byte by byte.
Any ordinary reader opens the files; this one opens nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import deflate
import numpy as np
from jaxtyping import Integer, Shaped

from pvit_data.codecs.window import Told
from pvit_data.errors import FormatError
from pvit_data.sample.limits import MAX_FRAMES, check_decoded, check_picture

HEADER = b"II*\x00\x08\x00\x00\x00"  # little-endian, 42, first directory at byte 8
MAX_RATIO = 1032  # deflate cannot inflate a byte to more (258 bytes from 2 bits)
MAX_FILE = (1 << 32) - 1  # offsets have 32 bits

_SHORT, _LONG = 3, 4
_ENTRY = np.dtype([("tag", "<u2"), ("type", "<u2"), ("count", "<u4"), ("value", "<u4")])
_WIDTH, _BITS, _OFFSET, _LENGTH = 0, 2, 5, 8  # positions in the directory


@dataclass(frozen=True)
class Kind:
    """One of the page types of the subset.

    Args:
        dtype: of one sample (little-endian).
        channels: samples per pixel: 1 or 3.
        predictor: whether rows hold differences of neighbouring pixels.
        level: of deflate, the one above which more time buys little on rendered and real maps.
    """

    dtype: np.dtype[np.generic]
    channels: int
    predictor: bool
    level: int

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel."""
        return self.dtype.itemsize * self.channels


UINT8 = Kind(np.dtype("u1"), 1, False, 9)  # segmentation
UINT16 = Kind(np.dtype("<u2"), 1, False, 9)  # segmentation in large label spaces
UINT16_DELTA = Kind(np.dtype("<u2"), 1, True, 9)  # depth, octahedral normals
UINT8X3_DELTA = Kind(np.dtype("u1"), 3, True, 8)  # normals
FLOAT32 = Kind(np.dtype("<f4"), 1, False, 6)  # lossless depth
KINDS = (UINT8, UINT16, UINT16_DELTA, UINT8X3_DELTA, FLOAT32)


def write_tiff(pages: Shaped[np.ndarray, "n h w *c"], kind: Kind) -> bytes:
    """Encodes pages of one size.

    Args:
        pages: `(n, h, w)`, or `(n, h, w, 3)` for three channels, of `kind.dtype`; n >= 1.
        kind: one of `KINDS`.

    Raises:
        FormatError: if shape or dtype do not fit, or the file would pass 4 GiB.
    """
    expected = (3, 1) if kind.channels == 1 else (4, kind.channels)
    found = (pages.ndim, 1 if pages.ndim == 3 else pages.shape[-1])
    if found != expected or not 1 <= len(pages) <= MAX_FRAMES or pages.dtype != kind.dtype:
        raise FormatError(
            f"TIFF pages are {pages.dtype}{pages.shape}, expected {kind.dtype} with {kind.channels} channel(s)"
        )
    num_pages, height, width = pages.shape[:3]
    check_picture("TIFF page", height, width)
    strips = [
        bytes(deflate.zlib_compress(_difference(page, kind).tobytes(), kind.level))
        for page in pages
    ]
    lengths = np.array([len(s) for s in strips], np.int64)
    if int(lengths.sum()) + 256 * num_pages > MAX_FILE:
        raise FormatError(
            f"TIFF of {num_pages} pages of {height} x {width} would pass 4 GiB: store fewer frames per sample"
        )
    padded = [s + b"\x00" * (len(s) % 2) for s in strips]
    return b"".join([_header(kind, height, width, lengths), *padded])


class TiffReader:
    """Random access to the pages of one file.

    Args:
        data: the whole file.

    Attributes:
        kind: page type.
        num_pages, height, width: sizes.

    Raises:
        FormatError: if the bytes are not exactly what `write_tiff` writes, up to the contents of the strips.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self.kind, self.num_pages, self.height, self.width, self._lengths, self._offsets = _parse(
            self._data
        )

    def read(
        self,
        pages: Integer[np.ndarray, "k"] | None = None,
        rows: Integer[np.ndarray, "r"] | None = None,
        columns: Integer[np.ndarray, "s"] | None = None,
    ) -> Shaped[np.ndarray, "k r s *c"]:
        """Decodes the given pages; with `rows` and `columns` only these pixels are un-predicted and copied.

        Args:
            pages: page numbers, in any order, repeats allowed. Default: all.
            rows: row numbers. Default: all.
            columns: column numbers. Default: all.

        Raises:
            FormatError: if a page, row or column number is outside the file, or a strip does not inflate to exactly
                one page.
        """
        picks = range(self.num_pages) if pages is None else [int(p) for p in pages]
        height = self._extent("row", rows, self.height)
        width = self._extent("column", columns, self.width)
        end = self.width if columns is None or not width else int(columns.max()) + 1
        tail = () if self.kind.channels == 1 else (self.kind.channels,)
        check_decoded("TIFF", len(picks) * height * width * self.kind.pixel_bytes)
        out = np.empty((len(picks), height, width, *tail), self.kind.dtype)
        for i, page in enumerate(picks):
            if not 0 <= page < self.num_pages:
                raise FormatError(f"TIFF has {self.num_pages} pages, not number {page}")
            plane = self._inflate(page)[:, :end]
            plane = plane if rows is None else plane[rows]
            if self.kind.predictor:
                np.cumsum(plane, axis=1, dtype=self.kind.dtype, out=plane)
            out[i] = plane if columns is None else plane[:, columns]
        return out

    def _extent(self, what: str, picks: Integer[np.ndarray, "k"] | None, size: int) -> int:
        if picks is None:
            return size
        if len(picks) and not 0 <= picks.min() <= picks.max() < size:
            raise FormatError(f"TIFF has {size} {what}s, not number {picks.max()}")
        return len(picks)

    def _inflate(self, page: int) -> Shaped[np.ndarray, "h w *c"]:
        start, length = int(self._offsets[page]), int(self._lengths[page])
        size = self.height * self.width * self.kind.pixel_bytes
        try:
            raw = deflate.zlib_decompress(self._data[start : start + length], size)
        except deflate.DeflateError as error:
            raise FormatError(f"TIFF page {page} does not inflate to {size} bytes") from error
        if len(raw) != size:
            raise FormatError(f"TIFF page {page} inflates to {len(raw)} bytes, expected {size}")
        shape = (self.height, self.width) + (
            () if self.kind.channels == 1 else (self.kind.channels,)
        )
        return np.frombuffer(raw, self.kind.dtype).reshape(shape)


def extent(data: bytes, told: Told) -> tuple[int, int, int]:
    """Pages, height and width of a file, without inflating anything.

    Raises:
        FormatError: if it is not of the subset.
    """
    reader = TiffReader(data)
    return reader.num_pages, reader.height, reader.width


def _difference(page: Shaped[np.ndarray, "h w *c"], kind: Kind) -> Shaped[np.ndarray, "h w *c"]:
    if not kind.predictor:
        return page
    out = np.array(page, order="C")
    out[:, 1:] -= page[:, :-1]  # modulo 2^bits, as the predictor wants it
    return out


def _header(kind: Kind, height: int, width: int, lengths: Integer[np.ndarray, "n"]) -> bytes:
    """File header, all directories and, for three channels, the bits table they share."""
    blank, shared = _blank(kind, height, width, len(lengths))
    table = blank.copy()
    values = table["entries"]["value"]
    data_start = len(HEADER) + table.nbytes + len(shared)
    values[:, _LENGTH] = lengths
    values[0, _OFFSET] = data_start
    values[1:, _OFFSET] = data_start + np.cumsum(lengths[:-1] + lengths[:-1] % 2)
    return HEADER + table.tobytes() + shared


@lru_cache(maxsize=16)
def _blank(kind: Kind, height: int, width: int, num_pages: int) -> tuple[np.ndarray, bytes]:
    """The directories without offset and length of the strips, and what follows them."""
    bits = kind.dtype.itemsize * 8
    entries = [
        (256, _LONG, 1, width),
        (257, _LONG, 1, height),
        (258, _SHORT, kind.channels, bits),
        (259, _SHORT, 1, 8),  # Adobe deflate
        (262, _SHORT, 1, 1 if kind.channels == 1 else 2),  # black is zero, or RGB
        (273, _LONG, 1, 0),  # strip offset
        (277, _SHORT, 1, kind.channels),
        (278, _LONG, 1, height),  # rows per strip
        (279, _LONG, 1, 0),  # strip length
        (284, _SHORT, 1, 1),  # contiguous samples
        (317, _SHORT, 1, 2 if kind.predictor else 1),
    ]
    if kind.dtype.kind == "f":
        entries.append((339, _SHORT, 1, 3))  # IEEE floating point
    directory = _directory(len(entries))
    table = np.zeros(num_pages, directory)
    table["count"] = len(entries)
    table["entries"] = np.array(entries, _ENTRY)
    table["next"][:-1] = len(HEADER) + directory.itemsize * np.arange(1, num_pages)
    if kind.channels == 1:
        return table, b""
    # Three SHORTs do not fit into an entry: it points to a table behind the directories.
    table["entries"]["value"][:, _BITS] = len(HEADER) + table.nbytes
    return table, np.full(kind.channels, bits, "<u2").tobytes() + b"\x00\x00"


@lru_cache(maxsize=2)
def _directory(num_entries: int) -> np.dtype[np.void]:
    return np.dtype([("count", "<u2"), ("entries", _ENTRY, (num_entries,)), ("next", "<u4")])


def _parse(
    data: memoryview,
) -> tuple[Kind, int, int, int, Integer[np.ndarray, "n"], Integer[np.ndarray, "n"]]:
    start = len(HEADER)
    num_entries = int.from_bytes(data[start : start + 2], "little")
    if data[:start] != HEADER or num_entries not in (11, 12):
        raise FormatError("not a TIFF of the shard format: wrong header")
    directory = _directory(num_entries)
    if len(data) < start + directory.itemsize:
        raise FormatError("not a TIFF of the shard format: wrong header")
    first = np.frombuffer(data, directory, 1, start)[0]["entries"]["value"].astype(np.int64)
    kind = _kind(first, num_entries)
    width, height, data_start = int(first[0]), int(first[1]), int(first[_OFFSET])
    check_picture("TIFF page", height, width)
    shared = 8 if kind.channels > 1 else 0
    num_pages, rest = divmod(data_start - start - shared, directory.itemsize)
    if rest or not 1 <= num_pages <= MAX_FRAMES or data_start > len(data):
        raise FormatError(
            "not a TIFF of the shard format: the first strip does not follow the page directories"
        )
    table = np.frombuffer(data, directory, num_pages, start)["entries"]["value"]
    lengths, offsets = table[:, _LENGTH].astype(np.int64), table[:, _OFFSET].astype(np.int64)
    if _header(kind, height, width, lengths) != data[:data_start]:
        raise FormatError(
            "not a TIFF of the shard format: page directories differ from the only allowed form"
        )
    end = int(offsets[-1] + lengths[-1] + lengths[-1] % 2)
    if end != len(data):
        raise FormatError(f"TIFF has {len(data)} bytes, its pages end at {end}")
    size = height * width * kind.pixel_bytes
    if size > MAX_RATIO * int(lengths.min()):
        raise FormatError(
            f"TIFF claims {size} bytes per page, more than {int(lengths.min())} bytes can inflate to"
        )
    return kind, num_pages, height, width, lengths, offsets


def _kind(values: Integer[np.ndarray, "e"], num_entries: int) -> Kind:
    for kind in KINDS:
        predictor = 2 if kind.predictor else 1
        bits = values[_BITS] if kind.channels > 1 else kind.dtype.itemsize * 8
        entries = 12 if kind.dtype.kind == "f" else 11
        if (num_entries, *values[[_BITS, 6, 10]]) == (entries, bits, kind.channels, predictor):
            return kind
    raise FormatError(
        "not a TIFF of the shard format: no such combination of bits, channels and predictor"
    )
