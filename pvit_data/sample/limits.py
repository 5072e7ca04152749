"""Upper bounds that are checked before anything is allocated or decoded, so that small hostile files stay small."""

from __future__ import annotations

from pvit_data.errors import FormatError

MAX_PIXELS = 1 << 25  # of one frame or page: 8K video is 33.2 million
MAX_FRAMES = 1 << 20  # of one clip
MAX_DECODED_BYTES = 1 << 30  # of one field of one sample, as the array that is returned
MAX_MEMBER_BYTES = 1 << 30  # of one member of a shard
MAX_SAMPLE_BYTES = 1 << 30  # of all members of a sample
MAX_JSON_BYTES = 1 << 24  # of the JSON member of a sample, of a source.json
MAX_JSON_DEPTH = 100  # brackets inside brackets
MAX_IDS = 65535  # of a label space: more do not fit into maps of 16 bits, whose last value means "not labelled"


def check_picture(what: str, height: int, width: int) -> None:
    """Refuses a picture size that no sample may have.

    Raises:
        FormatError: if a side is not positive or the area is above `MAX_PIXELS`.
    """
    if height <= 0 or width <= 0 or height * width > MAX_PIXELS:
        raise FormatError(f"{what} claims {height} x {width} pixels, expected 1 to {MAX_PIXELS}")


def check_decoded(what: str, num_bytes: int) -> None:
    """Refuses an array above `MAX_DECODED_BYTES`.

    Raises:
        FormatError: if it is larger; the message says to ask for fewer frames.
    """
    if num_bytes > MAX_DECODED_BYTES:
        raise FormatError(
            f"{what} would take {num_bytes} bytes decoded, at most {MAX_DECODED_BYTES}: ask for fewer frames at a time"
        )
