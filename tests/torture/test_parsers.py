"""R7: whatever bytes are given to a codec or to the reader, only our own errors come out, on one line.

Each example goes to every parser, so that each gets 1,000 of them in `make test` and 100,000 in `make torture`.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pvit_data.codecs.still import decode_still, encode_still, probe_still
from pvit_data.codecs.video import decode_video, encode_video, probe_video
from tests.torture.fuzz import PARSERS, one, seeds

EXAMPLES = 100_000 if os.environ.get("PVIT_TORTURE") else 1_000
many = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
HEADS = (b"", b"II*\x00\x08\x00\x00\x00", b"\x93NUMPY\x01\x00", b"\xff\xd8\xff\xe0", b"{", b"PAR1")
CLIPS = (b"", b"\x00\x00\x00\x18ftypmp42", b"\x1a\x45\xdf\xa3", b"RIFF\x00\x10\x00\x00AVI ")


def read_still(data: bytes) -> None:
    probe_still(data)
    decode_still(data)


def read_video(data: bytes) -> None:
    probe_video(data)
    decode_video(data)


READERS: dict[str, Callable[[bytes], None]] = {**PARSERS, "still": read_still, "video": read_video}


@functools.cache
def valid() -> dict[str, list[bytes]]:
    """Inputs that each reader accepts."""
    with tempfile.TemporaryDirectory() as folder:
        found = seeds(Path(folder))
    frames = np.arange(2 * 16 * 16 * 3, dtype=np.uint8).reshape(2, 16, 16, 3)
    return found | {"still": [encode_still(frames[0])], "video": [encode_video(frames, 5)]}


def test_valid_inputs_are_accepted() -> None:
    for name, inputs in valid().items():
        for data in inputs:
            READERS[name](data)


@many
@given(data=st.binary(max_size=400))
def test_r7_arbitrary_bytes(data: bytes) -> None:
    for name, reader in READERS.items():
        for head in CLIPS if name == "video" else HEADS:
            one(reader, head + data)


@many
@given(
    number=st.integers(0, 11),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    cut=st.none() | st.floats(0, 1, exclude_max=True),
)
def test_r7_changed_bytes(number: int, edits: list[tuple[float, int]], cut: float | None) -> None:
    for name, inputs in valid().items():
        data = bytearray(inputs[number % len(inputs)])
        for place, value in edits:
            data[int(place * len(data))] = value
        one(READERS[name], bytes(data if cut is None else data[: int(cut * len(data))]))
