"""An MP4 that claims more than it holds is refused before FFmpeg opens it; sound files of all kinds are not."""

import io
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from pvit_data.codecs.video import encode_video, probe_video
from pvit_data.codecs.video.claims import check_claims
from pvit_data.errors import FormatError
from tests.bombs import require_cheap

AVCC = bytes.fromhex("0142c00affe100176742c00a95a0000003000000000000000000000000000001000468ce3c80")
MANY = 85_000_000
STTS = struct.pack(">III", 1, MANY, 1)
STSC = struct.pack(">IIII", 1, 1, MANY, 1)
STCO = struct.pack(">II", 1, 48)


def box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), name) + body


def full(name: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(name, struct.pack(">I", version << 24 | flags), *parts)


def picture(*inside: bytes) -> bytes:
    head = bytes(6) + b"\0\1" + bytes(16) + struct.pack(">HHII", 96, 96, 0x480000, 0x480000) + bytes(4)
    return box(b"avc1", head + b"\0\1" + bytes(32) + struct.pack(">Hh", 24, -1), box(b"avcC", AVCC), *inside)


def sizes(size: int, count: int, *rows: int) -> bytes:
    return full(b"stsz", struct.pack(f">II{len(rows)}I", size, count, *rows))


def moov(
    *tables: bytes,
    entry: bytes = b"",
    handler: bytes = b"vide",
    edits: bytes = b"",
    more: bytes = b"",
    name: bytes = b"moov",
) -> bytes:
    described = full(b"stsd", struct.pack(">I", 1), entry or picture())
    info = box(b"minf", full(b"vmhd", bytes(8), flags=1), box(b"stbl", described, *tables))
    media = box(
        b"mdia",
        full(b"mdhd", struct.pack(">IIIIHH", 0, 0, 25, MANY, 0x55C4, 0)),
        full(b"hdlr", bytes(4) + handler + bytes(13)),
        info,
    )
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    header = full(
        b"tkhd",
        struct.pack(">5I", 0, 0, 1, 0, MANY) + bytes(16) + matrix + struct.pack(">II", 96 << 16, 96 << 16),
        flags=3,
    )
    return box(
        name, full(b"mvhd", struct.pack(">IIII", 0, 0, 25, MANY) + bytes(80)), box(b"trak", header, edits, media), more
    )


def film(header: bytes, *more: bytes) -> bytes:
    return box(b"ftyp", b"isom\0\0\2\0isomavc1") + box(b"mdat", bytes(600)) + header + b"".join(more)


BOMB = film(moov(full(b"stts", STTS), full(b"stsc", STSC), sizes(8, MANY), full(b"stco", STCO)))
SMALL = (
    full(b"stts", struct.pack(">III", 1, 4, 1)),
    full(b"stsc", struct.pack(">4I", 1, 1, 4, 1)),
    full(b"stco", STCO),
)
FRAGMENT = box(
    b"moof",
    full(b"mfhd", bytes(4)),
    box(b"traf", full(b"tfhd", struct.pack(">I", 1)), full(b"trun", struct.pack(">I", MANY))),
)
EDITS = full(b"elst", struct.pack(">I", 4000), struct.pack(">Iihh", 4, 0, 1, 0) * 4000)
LONG = sizes(0, 4000, *[1] * 4000)
TEXT = moov(sizes(1, 3_000_000), *SMALL, handler=b"text")
PIECES = (
    full(b"stts", struct.pack(">III", 1, 4, 1)),
    full(b"stsc", struct.pack(">4I", 1, 1, 1 << 31, 1)),
    full(b"stco", struct.pack(">I", 9), bytes(36)),
)

HOSTILE = {
    "one size for all": BOMB,
    "of a track without a kind": film(moov(sizes(8, MANY), *SMALL, handler=b"text")),
    "sizes that are not there": film(moov(sizes(0, 1 << 30, 1, 2), *SMALL)),
    "small sizes": film(moov(full(b"stz2", struct.pack(">II", 4, 1 << 30)), *SMALL)),
    "chunks": film(moov(sizes(8, 4), full(b"stco", struct.pack(">I", 1 << 30)))),
    "large chunks": film(moov(sizes(8, 4), full(b"co64", struct.pack(">I", 1 << 29)))),
    "steps": film(moov(sizes(8, 4), full(b"stts", struct.pack(">I", 1 << 30)))),
    "offsets": film(moov(sizes(8, 4), full(b"ctts", struct.pack(">I", 1 << 30)))),
    "key frames": film(moov(sizes(8, 4), full(b"stss", struct.pack(">I", 1 << 30)))),
    "a fragment without rows": film(moov(sizes(0, 0), *SMALL), FRAGMENT),
    "edits that show all again": film(moov(LONG, *SMALL, edits=box(b"edts", EDITS))),
    "inside a sample entry": film(moov(*SMALL, entry=picture(sizes(8, MANY)))),
    "in free space": film(moov(sizes(8, MANY), *SMALL, name=b"free")),
    "at the top": film(moov(*SMALL), sizes(8, MANY)),
    "in many tracks": film(TEXT, TEXT),
    "pieces of sound": film(moov(sizes(2, 4), *PIECES, handler=b"soun")),
    "a compressed header": film(box(b"moov", box(b"cmov", bytes(32)))),
    "a box beyond the end": film(struct.pack(">I4sI4s", 1 << 30, b"moov", (1 << 30) - 8, b"trak")),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_claims_are_refused(name: str) -> None:
    assert len(HOSTILE[name]) < 100_000
    with pytest.raises(FormatError, match=r"video"):
        check_claims(HOSTILE[name])
    with pytest.raises(FormatError):
        probe_video(HOSTILE[name])


def test_any_boxes_end_soon() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        data = bytearray(HOSTILE["sizes that are not there"])
        for place in rng.integers(0, len(data), 6):
            data[place] = rng.integers(256)
        with pytest.raises(FormatError):
            probe_video(bytes(data))
    with pytest.raises(FormatError, match="boxes"):
        check_claims(film(struct.pack(">I4s", 8, b"free") * (1 << 20)))


def test_the_film_of_85_million_samples_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "bomb.mp4").write_bytes(BOMB)
    assert len(BOMB) < 1500
    code = "from pvit_data.codecs.video import probe_video\nprobe_video(Path(sys.argv[1]).read_bytes())"
    assert "FormatError" in require_cheap(code, tmp_path / "bomb.mp4")


def encoded(container: str, sound: str = "", **options: str) -> bytes:
    """Ten frames, and two seconds of sound."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, container_options=options) as file:
        stream = file.add_stream("libx264", rate=5, options={"g": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        track = file.add_stream(sound, rate=48000) if sound else None
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * number, np.uint8), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
        if track is not None:
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 96000), np.int16), format="s16", layout="stereo")
            tone.sample_rate = 48000
            resampler = av.AudioResampler(track.codec_context.format, "stereo", 48000, 1024)
            for part in resampler.resample(tone):
                file.mux(track.encode(part))
            file.mux(track.encode(None))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("container", "sound", "flags"),
    [
        ("mp4", "aac", ""),
        ("mp4", "aac", "+frag_keyframe+empty_moov"),
        ("mp4", "", "+frag_every_frame+empty_moov+default_base_moof"),
        ("mov", "pcm_s16le", ""),
    ],
)
def test_sound_files_pass(container: str, sound: str, flags: str) -> None:
    data = encoded(container, sound, movflags=flags) if flags else encoded(container, sound)
    check_claims(data)
    assert probe_video(data).num_frames == 10


def test_our_own_files_pass() -> None:
    check_claims(encode_video(np.zeros((3, 32, 32, 3), np.uint8), 25))


def test_an_hour_of_plain_sound_is_no_claim() -> None:
    """Its samples are counted in millions, but FFmpeg reads them in pieces."""
    seconds = 3600
    tables = (
        sizes(4, 48_000 * seconds),
        full(b"stts", struct.pack(">III", 1, 48_000 * seconds, 1)),
        full(b"stsc", struct.pack(">4I", 1, 1, 48_000, 1)),
        full(b"stco", struct.pack(">I", seconds), bytes(4 * seconds)),
    )
    check_claims(film(moov(*tables, handler=b"soun")))
