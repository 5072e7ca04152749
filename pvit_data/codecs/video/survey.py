"""Is a file what its container says? It is decoded once from the start, and then read as a reader reads it.

The decoder's output from the start is the truth. A file is sound if its frames come in the order of their times, all of
them, none marked as damaged, and if what is read by seeking to each key frame equals what came from the start. The
verdict is kept for the file, so that it is made once per process however often the bytes come by.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import av.error

from pvit_data.codecs.video.container import (
    CODECS,
    Listing,
    list_frames,
    open_video,
    reported,
    take_care,
)
from pvit_data.codecs.video.cut import cut_off
from pvit_data.codecs.video.picture import Turns, checksum
from pvit_data.codecs.video.seeking import by_seeking, front_to_back
from pvit_data.errors import FormatError
from pvit_data.sample.limits import MAX_FRAMES

REMEMBERED = 1 << 17  # files whose verdicts are kept
HELD = 7  # pictures
KEPT = 8 << 20  # bytes of a file whose packets are kept between listing and decoding


@dataclass(frozen=True)
class VideoInfo:
    """What a file holds.

    Args:
        num_frames: frames shown.
        fps: average frame rate; 0 if unknown.
        height, width: size as it is shown.
    """

    num_frames: int
    fps: float
    height: int
    width: int


@dataclass(frozen=True)
class Problem:
    """Why a file's bytes cannot be kept as they are.

    Args:
        kind: the decoder found damage, or not all frames; frames do not come in the order of their times; or what is
            read by seeking differs.
        frame: the first that is concerned.
        text: what is wrong with it, for people.
    """

    kind: Literal["damaged-video", "unordered-video", "unseekable-video"]
    frame: int
    text: str


@dataclass(frozen=True)
class Survey:
    """The verdict on a file.

    Args:
        info: of the frames that decode, up to the first that is damaged.
        problem: None for a sound file.
        codec: FFmpeg's name of the decoder.
    """

    info: VideoInfo
    problem: Problem | None
    codec: str


_surveys: dict[bytes, Survey] = {}
_ordered: dict[bytes, int] = {}
_last = (b"", b"")


def survey(data: bytes) -> Survey:
    """Decodes a file from its start, and a little more after each key frame that may need what is before it.

    Raises:
        FormatError: if it is no video that we read, no frame of it decodes, or its pictures change their size.
    """
    found = survey_if(data, CODECS)
    assert found is not None  # no other can be opened
    return found


def survey_if(data: bytes, codecs: Container[str]) -> Survey | None:
    """The verdict on a file if its decoder, by FFmpeg's name, is one of these; others are only opened.

    Raises:
        FormatError: as `survey`.
    """
    key = _digest(data)
    known = _surveys.get(key)
    if known is None:
        with reported("read"), open_video(data) as container:
            if container.streams.video[0].codec_context.name not in codecs:
                return None
            known = _survey(data, container)
        _remember(_surveys, key, known)
        _remember(_ordered, key, 0 if known.problem else known.info.num_frames)
    return known if known.codec in codecs else None


def ordered_frames(data: bytes) -> int | None:
    """How many frames from the start may be read by seeking; None if nobody has looked yet."""
    return _ordered.get(_digest(data))


def first_look(
    data: bytes, container: Any, listing: Listing, last: int
) -> Iterator[tuple[int, Any]]:
    """The frames 0 to `last` from the start; how far their times can be trusted is kept for the file."""
    notes = _Notes(listing)
    for number, picture in enumerate(front_to_back(data)):
        notes.take(picture)
        yield number, picture
        if number >= last:
            break
    is_sound = notes.disorder() is None and notes.difference(container) is None
    _remember(_ordered, _digest(data), len(notes.pts) if is_sound else 0)


class _Notes:
    """What is learned while a file is decoded from its start.

    Args:
        listing: what its container says.
    """

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.pts: list[int] = []
        self._runs = _runs(listing) if listing.exact else []
        self._compared = {number for run in self._runs for number in run}
        self._sums: dict[int, int] = {}

    def take(self, picture: Any) -> None:
        """The next picture."""
        if (number := len(self.pts)) in self._compared:
            self._sums[number] = checksum(picture)
        self.pts.append(picture.pts)

    def disorder(self) -> int | None:
        """The first frame that is not the one which the container's times announce."""
        pairs = zip(self.pts, self.listing.pts, strict=False)
        wrong = (number for number, (came, listed) in enumerate(pairs) if came != listed)
        return next(wrong, len(self.listing.pts) if len(self.pts) > len(self.listing.pts) else None)

    def difference(self, container: Any) -> Problem | None:
        """A frame that is another one when it is read from the key frame before it.

        Decoders leave what they do not write as it lies in memory. So the frames of a short file are read twice: the
        second time none has fresh memory, as all may have had from the start and in the first pass.
        """
        if self.listing.is_simple:
            return self._lost_jump(container)
        runs = [run for run in reversed(self._runs) if run.stop <= len(self.pts)]
        # Backwards, so that no header is known from the frames before.
        for _ in range(2 if len(self.pts) <= 2 * HELD else 1):
            held = deque[Any](maxlen=HELD)  # so that other memory lies below the next ones
            for run in runs:
                if problem := self._difference(container, run, held):
                    return problem
        return None

    def _lost_jump(self, container: Any) -> Problem | None:
        """A key frame where no jump to it comes out at a key frame that is not behind it."""
        stream, pts = container.streams.video[0], self.listing.pts
        for number in range(len(self.pts)):
            if not self.listing.is_key[number]:
                continue
            container.seek(pts[number], stream=stream, backward=True)
            landed = next(container.demux(stream)).pts
            if landed not in self.listing.alone or landed > pts[number]:
                text = f"a jump to frame {number} leads elsewhere"
                return Problem("unseekable-video", number, text)
        return None

    def _difference(self, container: Any, run: range, held: deque[Any]) -> Problem | None:
        found: dict[int, int] = {}
        with suppress(av.error.FFmpegError):
            for number, picture in by_seeking(container, self.listing, list(run)):
                found[number] = checksum(picture)
                held.append(picture)
        for number in run:
            if number not in found or (run.start and found[number] != self._sums[number]):
                text = f"frame {number} is not found, or another one, when it is sought"
                return Problem("unseekable-video", number, text)
            if found[number] != self._sums[number]:
                text = f"frame {number} is another one each time it is decoded"
                return Problem("damaged-video", number, text)
        return None


def _runs(listing: Listing) -> list[range]:
    """What to compare from the start and each key frame on: two frames, or all where two do not speak for the rest.

    Nothing where no key frame needs anything before it by its bytes: then it is only looked where jumps lead.
    """
    if listing.is_simple:
        return []
    total = len(listing.pts)
    if total == 0:
        return []
    keys = [0, *(number for number in range(1, total) if listing.is_key[number])]
    runs = []
    for key, following in pairwise([*keys, total]):
        is_closed = listing.pts[key] in listing.closed
        runs.append(range(key, min(key + 2, following) if is_closed else following))
    return runs


def _survey(data: bytes, container: Any) -> Survey:
    stream = container.streams.video[0]
    packets: list[Any] = []
    listing = list_frames(container, closed=True, kept=packets if len(data) <= KEPT else None)
    notes = _Notes(listing)
    size, damage = _decode_all(_from_start(data, container, listing, packets), notes)
    damage = damage or cut_off(data)
    rate = float(stream.average_rate or 0)
    problem = _problem(container, notes, damage) if notes.pts else None
    is_damaged = problem is not None and problem.kind == "damaged-video"
    count = problem.frame if problem is not None and is_damaged else len(notes.pts)
    if count == 0:
        reason = problem.text if problem else damage or "it has none"
        raise FormatError(f"no frame of it can be decoded ({reason})")
    return Survey(VideoInfo(count, rate, *size), problem, stream.codec_context.name)


def _from_start(data: bytes, container: Any, listing: Listing, packets: list[Any]) -> Iterator[Any]:
    """All pictures from a file's start: of the open container, where a jump to its start leads nowhere else.

    Args:
        data: the file.
        container: opened, and listed.
        listing: of its frames.
        packets: its packets, which need not be read once more then; empty where they were not kept.
    """
    if not listing.is_simple:
        yield from front_to_back(data, careful=True)
        return
    stream = container.streams.video[0]
    take_care(stream.codec_context)
    if packets:
        for packet in packets:
            yield from packet.decode()
        yield from stream.decode(None)
        return
    container.seek(listing.pts[0], stream=stream, backward=True)
    yield from container.decode(stream)


def _decode_all(pictures: Iterator[Any], notes: _Notes) -> tuple[tuple[int, int], str]:
    """(height, width), and what the decoder says of the first frame that it cannot make."""
    size, stored, turns = (0, 0), None, Turns()
    try:
        for number, picture in enumerate(pictures):
            if picture.is_corrupt:
                return size, f"frame {number} is damaged"
            if number == MAX_FRAMES:
                raise FormatError(f"video has more than {MAX_FRAMES} frames")
            now = (picture.height, picture.width, picture.rotation)
            if now != stored:
                stored, found = now, turns.of(picture).size(picture.height, picture.width)
                if number and found != size:
                    raise FormatError(
                        f"video changes its size from {size} to {found} at frame {number}"
                    )
                size = found
            notes.take(picture)
    except av.error.FFmpegError as error:
        return size, f"frame {len(notes.pts)} does not decode: {error}"
    return size, ""


def missing_frames(listing: Listing, decoded: int) -> str:
    """What is said of a file of which fewer frames decode than its container lists; "" if that is not known."""
    if not listing.exact or decoded >= len(listing.pts):
        return ""
    return f"{len(listing.pts)} frames are listed, {decoded} decode"


def _problem(container: Any, notes: _Notes, damage: str) -> Problem | None:
    decoded = len(notes.pts)
    if damage:
        return Problem("damaged-video", decoded, damage)
    if container.format.name == "avi":  # read from the start, always
        return None
    if not notes.listing.exact:
        return Problem("unordered-video", 0, "not every frame has a time of its own")
    if missing := missing_frames(notes.listing, decoded):
        return Problem("damaged-video", decoded, missing)
    if (number := notes.disorder()) is not None:
        text = f"frame {number} does not come in the order of times"
        return Problem("unordered-video", number, text)
    return notes.difference(container)


def _digest(data: bytes) -> bytes:
    """Of a file's bytes; those of the last file are kept: whoever reads a file asks for it, and whoever stores it."""
    global _last
    last, digest = _last
    if data is not last:
        digest = hashlib.blake2b(data, digest_size=16).digest()
        _last = (data, digest)
    return digest


def _remember(verdicts: dict[bytes, Any], key: bytes, value: Any) -> None:
    if len(verdicts) >= REMEMBERED:
        verdicts.clear()
    verdicts[key] = value
