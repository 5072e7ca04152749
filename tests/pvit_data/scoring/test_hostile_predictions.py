"""Predictions and annotations of strangers: small files stay small, whatever they claim; errors are ours."""

import contextlib
import io
import json
import os
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pvit_data.errors import PvitError
from pvit_data.scoring.files.ava import Videos, read_detections, read_truth
from pvit_data.scoring.files.class_truth import read_class_truth
from pvit_data.scoring.files.dump import write_dump
from pvit_data.scoring.files.ego4d import read_annotations
from pvit_data.scoring.files.npz import read_npz
from pvit_data.scoring.files.predictions import read_class_scores
from tests.bombs import require_cheap

READ = """
from pvit_data.scoring.files.predictions import read_class_scores
read_class_scores(Path(sys.argv[1]))
print("read")
"""
READ_TRUTH = """
from pvit_data.scoring.files.class_truth import read_class_truth
read_class_truth(Path(sys.argv[1]), "plain", str)
print("read")
"""


def header(descr: str, shape: str) -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def archive(path: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def ids_of(number: int) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(number))
    return buffer.getvalue()


def test_arrays_that_unpack_to_much(tmp_path: Path) -> None:
    """70 MB of zeros in 70 kB; and 63 arrays of 2 MB."""
    path = archive(tmp_path / "p.npz", {"logits.npy": header("<f4", "100000, 175") + bytes(70_000_000)})
    with pytest.raises(PvitError, match=r"claims 70\.0 MB of arrays in"):
        read_npz(path)
    one = header("<f4", "500000,") + bytes(2_000_000)
    path = archive(tmp_path / "q.npz", {f"a{n}.npy": one for n in range(63)})
    with pytest.raises(PvitError, match=r"claims 126\.0 MB of arrays in"):
        read_npz(path)


def test_arrays_that_unpack_to_as_much_as_is_allowed(tmp_path: Path) -> None:
    """60 MB of zeros, of which nothing is copied more than a few times."""
    members = {"logits.npy": header("<f4", "100000, 150") + bytes(60_000_000), "ids.npy": ids_of(100_000)}
    assert "read" in require_cheap(READ, archive(tmp_path / "p.npz", members))


def test_claims_of_headers(tmp_path: Path) -> None:
    """Shapes without their bytes; sizes that overflow; objects; other types; headers without end."""
    for descr, shape in (
        ("<f4", "999999999999, 999999999999"),
        ("<f4", "4,"),
        ("|O", "3,"),
        ("<c16", "3,"),
        ("<U99999", "99999999,"),
        ("<f4", "1, 1, 1, 1, 1, 1, 1"),
        ("|V8", "3,"),
    ):
        path = archive(tmp_path / "p.npz", {"logits.npy": header(descr, shape), "ids.npy": ids_of(3)})
        with pytest.raises(PvitError):
            read_npz(path)
    long = b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 31) + b" " * 1000
    with pytest.raises(PvitError):
        read_npz(archive(tmp_path / "p.npz", {"logits.npy": long, "ids.npy": ids_of(3)}))


def test_archives_that_lie(tmp_path: Path) -> None:
    """The size in the directory is not that of the data; a wrong checksum; a password; a pickle of torch."""
    data = header("<f4", "3, 4") + np.ones((3, 4), "<f4").tobytes()
    raw = archive(tmp_path / "p.npz", {"logits.npy": data, "ids.npy": ids_of(3)}).read_bytes()
    place = raw.index(b"PK\x01\x02")
    for offset, value in ((24, 1 << 30), (24, 5), (16, 7), (8, 0x0101), (20, 3)):
        changed = bytearray(raw)
        size = 2 if offset == 8 else 4
        changed[place + offset : place + offset + size] = value.to_bytes(size, "little")
        (tmp_path / "q.npz").write_bytes(changed)
        with pytest.raises(PvitError):
            read_npz(tmp_path / "q.npz")
    with pytest.raises(PvitError, match="which holds a pickle"):
        read_npz(archive(tmp_path / "t.pth", {"archive/data.pkl": b"\x80\x02."}))


def test_lists_and_tables_without_end(tmp_path: Path) -> None:
    """Lines without an end, a row per two bytes, braces, one row over many lines."""
    path = tmp_path / "p.txt"
    for text, read, said in (
        (b"a 1 " + b"0 " * 600_000, read_class_scores, "without a line break"),
        (b"a,0902," + b"0" * 9_000_000, lambda p: read_detections(p, Videos()), "columns, expected 7 or 8"),
        (b"a,0902,0,0,1,1,1,0.5\n" + b"x" * 9_000_000, lambda p: read_detections(p, Videos()), "not readable as AVA's"),
        (b"0," * 40_000, truth_of, "a row has more than 65.5 kB, or 100 lines"),
        (b"i," + b'"a\n",' * 200, truth_of, "a row has more than 65.5 kB, or 100 lines"),
        (b"[" * 100_000, truth_of, "nested too deep"),
        (b"[" + b"{}," * 2_100_000 + b"{}]", truth_of, "more values than any list"),
    ):
        path.write_bytes(text)
        with pytest.raises(PvitError, match=said):
            read(path)
    path.write_bytes(b"a\n" * 20_000_000)
    assert "more than 1,000,000 rows" in require_cheap(READ_TRUTH, path)


def truth_of(path: Path) -> object:
    return read_class_truth(path, "plain", str)


def test_a_dump_that_unpacks_to_much(tmp_path: Path) -> None:
    """A constant of 5 million rows in a few kB; rows of other lengths; a dictionary that repeats a long text."""
    path = tmp_path / "p.parquet"
    table = pa.table(
        {"id": pa.array(["a"]).take(pa.array(np.zeros(5_000_000, np.int8))), "logits": pa.nulls(5_000_000)}
    )
    pq.write_table(table, path, compression="zstd")
    assert "do not fit into its" in require_cheap(READ, path)
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(30_000, np.int32)), ["x" * 100_000])
    pq.write_table(pa.table({"id": text, "logits": np.random.default_rng(0).random((30_000, 1)).tolist()}), path)
    assert "column id cannot be decoded" in require_cheap(READ, path)
    for logits in ([[1.0], [1.0, 2.0]], [[1.0], None], [["a"], ["b"]], [1.0, 2.0], [[], []]):
        pq.write_table(pa.table({"id": ["a", "b"], "logits": logits}), path)
        with pytest.raises(PvitError):
            read_class_scores(path)


def test_metadata_of_a_dump_is_data(tmp_path: Path) -> None:
    for note in (b"{", b"[]", b'{"version": 2}', b'{"classes": 3}', b'{"classes": [1]}', b"[" * 5000):
        table = pa.table({"id": ["a"], "logits": [[1.0, 2.0]]}).replace_schema_metadata({"pvit.predictions": note})
        pq.write_table(table, tmp_path / "p.parquet")
        with pytest.raises(PvitError):
            read_class_scores(tmp_path / "p.parquet")


def test_pipes_and_folders_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "none"):
        with pytest.raises(PvitError):
            read_class_scores(path)


def mutated(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(changed))
        kind = rng.randrange(4)
        if kind == 0:
            changed[place] = rng.randrange(256)
        elif kind == 1:
            del changed[place : place + rng.randint(1, 40)]
        elif kind == 2:
            changed[place:place] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 8)))
        else:
            changed[place : place + 4] = (b"\xff\xff\xff\x7f", b"NaN ", b"1e99", b"\0\0\0\0")[rng.randrange(4)]
        if not changed:
            return b"x"
    return bytes(changed)


def well_formed(kind: str, root: Path) -> tuple[Path, Callable[[Path], object]]:
    path = root / "file"
    if kind == "npz":
        np.savez_compressed(root / "x.npz", ids=["a", "b"], logits=np.eye(2), labels=[0, 1])
        return (root / "x.npz").rename(path), read_class_scores
    if kind == "dump":
        write_dump(path, ["a", "b"], ["1", "2"], np.zeros(2, int), np.zeros(2, int), np.eye(2), {"classes": ["x", "y"]})
        return path, read_class_scores
    if kind == "list":
        path.write_text("a.mp4 1 0.5 0.5\nb.mp4 0 0.25 0.75\n")
        return path, read_class_scores
    if kind == "ava":
        path.write_text("a,0902,0.1,0.1,0.5,0.5,1,1.0\nb,0903,0.1,0.1,0.5,0.5,80,0.0\n")
        return path, lambda p: (read_detections(p, Videos()), read_truth(p, Videos()))
    if kind == "ego4d":
        row = {"unique_id": "a", "parent_start_frame": 1, "parent_end_frame": 200, "parent_start_sec": 0.1}
        path.write_text(
            json.dumps({"clips": [row | {"parent_end_sec": 7.0, "state_change": True, "parent_pnr_frame": 9}]})
        )
        return path, read_annotations
    path.write_text(
        '[{"id": "1", "template": "Doing [x]"}, {"id": "2", "label": "Doing y"}]'
        if kind == "json"
        else "id,label\na,x\nb,x y\n"
    )
    return path, lambda p: [read_class_truth(p, "plain", str, several=s) for s in (False, True)]


@pytest.mark.parametrize("kind", ["npz", "dump", "list", "ava", "ego4d", "json", "csv"])
def test_damaged_files_raise_our_errors_only(kind: str, tmp_path: Path) -> None:
    path, read = well_formed(kind, tmp_path)
    read(path)
    data, rng = path.read_bytes(), random.Random(zlib.crc32(kind.encode()))
    for _ in range(300):
        path.write_bytes(mutated(data, rng))
        with contextlib.suppress(PvitError):
            read(path)
