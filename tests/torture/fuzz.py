"""Coverage-guided fuzzing of everything that parses bytes: only our own errors may come out.

Run: pip install atheris, then python -m tests.torture.fuzz [PARSER] [--seconds N] [--corpus FOLDER]

Inputs that break this rule are kept in the corpus folder as `crash-*`; a repaired one belongs into
`tests/pvit_data/format/test_fuzz_findings.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import pvit_data
import pvit_model
from pvit_converters.base import Item, Listing
from pvit_converters.engine.plan import Plan, ShardPlan
from pvit_converters.engine.plan_file import find_unlisted, load_plan, save_plan
from pvit_converters.engine.plan_parts import line_of, part_name
from pvit_converters.something_else.box_files import find_boxes, read_records
from pvit_converters.something_else.boxes import Film, see
from pvit_converters.something_else.settings import Files
from pvit_converters.something_else.splits import read_rows as read_something
from pvit_converters.videos.labels import find_classes, read_class_file
from pvit_converters.videos.options import VideosOptions
from pvit_converters.videos.rows import known_columns
from pvit_converters.videos.rows import read_rows as read_clips
from pvit_converters.videos.tables import read_table
from pvit_data.clips.config import ClipConfig
from pvit_data.codecs.depth import DepthEncoding, decode_depth
from pvit_data.codecs.normal import decode_normal
from pvit_data.codecs.npy import read_npy
from pvit_data.codecs.segm import decode_segm
from pvit_data.codecs.still import check_scans, decode_still, probe_still
from pvit_data.codecs.tiff import TiffReader
from pvit_data.codecs.video import decode_video, probe_video, survey
from pvit_data.codecs.video.claims import check_claims
from pvit_data.errors import PvitError
from pvit_data.format.index import COLUMNS, NUMBERS, TEXT, TYPES, Index, absent, encode_table, table_of
from pvit_data.format.manifest import Manifest, ShardInfo, SplitInfo, check_version, parse
from pvit_data.format.members import MEMBERS
from pvit_data.format.names import rows_name, shard_name
from pvit_data.format.receipts import read_receipt, read_rows_of
from pvit_data.format.record import parse_json, read_record
from pvit_data.format.rows import read_rows, with_groups
from pvit_data.format.shard_list import ShardList, list_name, write_list
from pvit_data.format.tar import END, read_members, write_member
from pvit_data.reading.foreign.tar import scan
from pvit_data.reading.where import evaluate
from pvit_data.sample.labels import LabelSpace
from pvit_data.scoring.files.ava import Videos, read_detections, read_truth
from pvit_data.scoring.files.class_names import read_classes, read_label_map
from pvit_data.scoring.files.class_truth import read_class_truth
from pvit_data.scoring.files.dump import write_dump
from pvit_data.scoring.files.ego4d import read_annotations
from pvit_data.scoring.files.predictions import read_class_scores
from pvit_data.storage.ahead import Stream
from pvit_data.storage.storage import Storage
from pvit_data.storage.values import parse_yaml
from pvit_data.validate.folder import declared_in, read_head
from pvit_data.writing.encode import Encoding, encode_sample
from pvit_model.config import PViTConfig
from pvit_model.network.claims import shapes_of
from pvit_model.network.inference import Inference
from pvit_model.network.pvit import PViT
from pvit_model.network.save import parse_config
from pvit_model.recipes.config import parse_setting
from pvit_model.recipes.loading import load_values
from pvit_model.reporting.report import curves
from pvit_model.runs.log import parse_line
from tests.pvit_data.odd_videos import changing_size, encode, frames, odd_videos
from tests.pvit_data.samples import SPACES, full_sample

PARTS = (
    b'{"absent":{},"identity":{"source":"mine"},"notes":[],'
    b'"parts":[{"first":0,"shards":[[2,2000,%d,"%s"]],"split":"train"}]}'
)
"""A plan of one shard of two samples, but for the length and the hash of its line."""
OURS = ("pvit_data", "pvit_model", "pvit_converters")
OPTIONS = {"depth": 2, "stages": [1], "dense_layers": [0, 1], "embed_dim": 8, "clip": [2, 32, 32]}
SMALL: dict[str, Any] = {"backbone": "mvitv2_xxs", "tasks": ["depth"], "num_classes": 3, "backbone_options": OPTIONS}
MOST_PIXELS, MOST_FRAMES = 1 << 16, 100  # of a video that is read frame by frame: larger ones only take time
RECEIPT = "mine/receipts/train-00000.json"
ROWS = encode_table(
    table_of(
        {name: [absent(name)] for name in TYPES} | {name: ["train-00000.tar"] for name in TEXT} | {"json_offset": [512]}
    )
)
SHARDS = [
    ShardInfo(name=shard_name("mine", "train", n), samples=n % 5, bytes=1024 * (1 + n % 5), sha256=f"{n:064x}")
    for n in (0, 7, 3000)
]
LISTED: dict[str, Any] = {
    "samples": sum(s.samples for s in SHARDS), "bytes": sum(s.bytes for s in SHARDS), "frames": 0, "fields": {},
    "members": [], "index": {"bytes": 0, "sha256": ""}, "shards": [],
}  # fmt: skip
COLUMN = {name: np.zeros(3, kind) for name, kind in NUMBERS.items()} | {"key": np.array(["a", "b", "c"], object)}


def fuzz_tiff(data: bytes) -> None:
    """Pages as they are, and as each kind of map."""
    if not data:
        return
    kind = data[0] % 4
    if kind == 0:
        TiffReader(data[1:]).read()
    elif kind == 1:
        decode_depth(data[1:], DepthEncoding(("float16", "float32")[data[0] // 4 % 2]))
    elif kind == 2:
        decode_normal(data[1:], ("xyz8", "octahedral")[data[0] // 4 % 2])
    else:
        decode_segm(data[1:])


def fuzz_boxes(data: bytes) -> None:
    """What an MP4 claims; what passes is opened by FFmpeg, which must not take more memory than the bar."""
    check_claims(data)
    probe_video(data)


def fuzz_jpeg(data: bytes) -> None:
    """A still, and its scans wherever they stand."""
    check_scans(data, 64, 64)
    if (info := probe_still(data)).height * info.width <= MOST_PIXELS:
        decode_still(data)


def fuzz_npy(data: bytes) -> None:
    """The header and the array."""
    read_npy(data)


def fuzz_tar(data: bytes) -> None:
    """Our strict reader, and the one for foreign archives."""
    if data[:1] < b"\x80":
        for _, contents in read_members(Stream(io.BytesIO(data[1:]).read)):
            contents.load()
    else:
        for entry in scan(Stream(io.BytesIO(data[1:]).read), Counter()):
            entry.contents.load()


def fuzz_record(data: bytes) -> None:
    """The JSON member."""
    read_record(data)


def fuzz_manifest(data: bytes) -> None:
    """The manifest, checksum aside."""
    values = parse_json(data, "manifest")
    if isinstance(values, dict):
        check_version(str(values.get("version", "")), "manifest")
        parse(Manifest, values, "manifest")


class Held(Storage):
    """Files in memory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__("nowhere")
        self.files = files

    def read(self, name: str, limit: int = 1 << 24) -> bytes:
        return self.files.get(name, b"")[: limit + 1]


def fuzz_receipt(data: bytes) -> None:
    """A receipt, with rows in it or beside it."""
    storage = Held({RECEIPT: data, rows_name(RECEIPT): ROWS})
    read_rows_of(storage, read_receipt(storage, RECEIPT))


def fuzz_rows(data: bytes) -> None:
    """Rows beside a receipt; in use the receipt's hash stands before this."""
    read_rows(data, "rows", 1)


def fuzz_shards(data: bytes) -> None:
    """A list of shards; in use the manifest's hash stands before this."""
    told = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "count": 3, "last": 3000}
    info = SplitInfo.model_validate(LISTED | {"shard_list": told})
    shards = ShardList(Held({list_name("mine", "train"): data}), "mine", "train", info)
    shards.sha256s()
    for shard in shards:
        shards.bytes_of(shard.name)


def fuzz_index(data: bytes) -> None:
    """A Parquet file; in use the manifest's hash stands before this."""
    index = Index(data, "index")
    for name in COLUMNS[:8]:
        index.column(name)


def fuzz_where(data: bytes) -> None:
    """A filter."""

    def column(name: str) -> Any:
        if name not in COLUMN:
            raise PvitError("no such column")
        return COLUMN[name]

    evaluate(data.decode("utf-8", "replace"), column, 3)


def fuzz_video(data: bytes) -> None:
    """A file that passes as sound has the same frames one by one, by seeking, as from its start."""
    found = survey(data)
    info = found.info
    if found.problem is not None or info.height * info.width > MOST_PIXELS or info.num_frames > MOST_FRAMES:
        return
    for number, picture in enumerate(decode_video(data)):
        alone = decode_video(data, np.array([number]), checked=True)[0]
        if not np.array_equal(alone, picture):
            raise AssertionError(f"frame {number} read by seeking is another one")


def fuzz_plan(data: bytes) -> None:
    """A conversion's plan; after a zero byte the line of a shard, in a plan that describes it rightly."""
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / part_name("mine", "train", 0)
        part.parent.mkdir(parents=True)
        head, line = data, b""
        if data[:1] == b"\x00":
            line = data[1:]
            head = PARTS % (len(line), hashlib.sha256(line).hexdigest().encode())
        part.write_bytes(line)
        (Path(folder) / "mine/plan.json").write_bytes(head)
        loaded = load_plan("mine", Storage(folder))
        for shard in loaded.shards[:100] if loaded else ():
            find_unlisted([shard], Listing([]), "plan.json")


def fuzz_head(data: bytes) -> None:
    """The head of a data set's card."""
    read_head(data)


def fuzz_recipe(data: bytes) -> None:
    """A recipe, or the value of a setting."""
    values = parse_yaml(data, "recipe")
    if isinstance(values, dict):
        for further in ("base", "own"):
            values.pop(further, None)
        load_values(values, (), "recipe")
    parse_setting(f"a.b={data.decode('latin-1')}")


def fuzz_card(data: bytes) -> None:
    """The head of a dataset's card."""
    declared_in(data)


def fuzz_config(data: bytes) -> None:
    """What lies beside a network's weights, which is built where that costs nothing."""
    if data[:1] == b"\x00":
        Inference.parse(data[1:], "inference.json")
        return
    config = parse_config(data, "config.json")
    shapes_of(lambda: PViT(config), "config.json", 500)


def fuzz_report(data: bytes) -> None:
    """Lines of a run's log, and the curves that are drawn of them."""
    lines = [parse_line(text) for text in data.splitlines()]
    curves([line for line in lines if line is not None])


def fuzz_predictions(data: bytes) -> None:
    """Predictions and annotations of other programs, as files."""
    readers: list[Callable[[Path], object]] = [
        read_class_scores,
        lambda path: read_detections(path, Videos()),
        lambda path: read_truth(path, Videos()),
        lambda path: read_class_truth(path, "ssv2", str),
        lambda path: read_class_truth(path, "plain", str, several=True),
        read_annotations,
        read_label_map,
        read_classes,
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data[1:])
        readers[(data or b"x")[0] % len(readers)](path)


def fuzz_clips(data: bytes) -> None:
    """Tables of somebody's videos; after a zero byte a list of classes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data.removeprefix(b"\0"))
        if data[:1] == b"\0":
            read_class_file(path)
            return
        options = VideosOptions(name="mine", table=path)
        rows, _ = read_clips(read_table(path, "", known_columns(options)), options, "")
        classes = find_classes([label for row in rows for label in row.labels], options)
        classes.space("mine")


def fuzz_something(data: bytes) -> None:
    """SomethingElse's box files; after a zero byte its split files."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part1.json"
        path.write_bytes(data.removeprefix(b"\0"))
        if data[:1] == b"\0":
            read_something(Files(path, path, path), ("Doing x",))
            return
        for video, place in find_boxes(path.parent).places.items():
            see(read_records(path.parent, place), Film(video, 8, 12.0, 240, 427)).table()


PARSERS: dict[str, Callable[[bytes], None]] = {
    name.removeprefix("fuzz_"): value for name, value in sorted(globals().items()) if name.startswith("fuzz_")
}
WEIGHTS = {
    "video": 8,
    "tiff": 2,
    "tar": 2,
    "where": 1,
    "record": 1,
    "npy": 1,
    "boxes": 2,
    "jpeg": 1,
    "manifest": 1,
    "index": 1,
    "clips": 2,
    "something": 1,
}
WEIGHTS |= {"receipt": 2, "rows": 1, "shards": 1, "predictions": 2}
WEIGHTS |= {"recipe": 2, "card": 1, "config": 1, "report": 1, "plan": 1, "head": 1}


def seeds(folder: Path) -> dict[str, list[bytes]]:
    """A valid input or more of each parser."""
    files = dict(encode_sample(full_sample(0, **{}), Encoding(spaces=SPACES)).files)
    small = {name: data for name, data in files.items() if name.endswith((".npy", "json"))}
    with pvit_data.ShardWriter(folder / "d", "mine", spaces=SPACES) as writer:
        writer.write(full_sample(0))
    out = folder / "d"
    tar = b"".join([*(write_member(f"a.{name}", data) for name, data in sorted(small.items())), END])
    inference = Inference(clip=ClipConfig(), action=LabelSpace("a", ("x", "y"))).model_dump_json(by_alias=True)
    maps = [(1, "depth.tif"), (2, "normal.tif"), (3, "segm.tif"), (0, "segm.tif")]
    return {
        "video": [*odd_videos(20).values(), *webm()],
        "boxes": [*(data for data in odd_videos(20).values() if data[4:8] == b"ftyp"), *fragments()],
        "jpeg": jpegs(),
        "tiff": [bytes([kind]) + files[name] for kind, name in maps],
        "npy": [data for name, data in files.items() if name.endswith(".npy")],
        "tar": [b"\x00" + tar, b"\xff" + tar],
        "record": [files["json"]],
        "manifest": [(out / "manifest.json").read_bytes(), listed(out)],
        "receipt": receipts(out),
        "rows": [ROWS],
        "shards": [write_list(SHARDS)],
        "index": [(out / "mine/index/train.parquet").read_bytes()],
        "recipe": [
            path.read_bytes()
            for path in sorted((Path(pvit_model.__file__).parent / "recipes").rglob("*.yaml"))
            if path.parent.name != "data"  # which say more than a recipe does
        ],
        "card": [(out / "README.md").read_bytes()],
        "head": [(out / "README.md").read_bytes()],
        "plan": plans(folder),
        "config": [PViTConfig(**SMALL).model_dump_json().encode(), b"\x00" + inference.encode()],
        "predictions": predictions(folder),
        "clips": clip_tables(folder),
        "something": [
            b'{"7": [{"name": "7/0001.jpg", "nr_instances": 1, "labels": [{"standard_category": "0000", "box2d": '
            b'{"x1": 97.5, "y1": 11.8, "x2": 427, "y2": 239.9}}]}], "42": []}',
            b'\0[{"id": "7", "template": "Doing [x]"}, {"id": 42, "template": "Doing [x]"}]',
        ],
        "report": [
            b'{"kind": "train", "step": 1, "loss": 1, "lr": 0.1, "losses": {"depth": 1}}\n{"kind": "eval", "step": 2}'
        ],
        "where": [b"has_depth and frames >= 16", b"not (fps < 2.5 or key in ('a', \"b\")) and key != 'c'"],
    }


def listed(folder: Path) -> bytes:
    """A manifest with a list of shards beside it."""
    values = json.loads((folder / "manifest.json").read_bytes()) | {"version": "1.1"}
    told = {"bytes": 1000, "sha256": "0" * 64, "count": 1, "last": 0}
    values["sources"]["mine"]["splits"]["train"] |= {"shards": [], "shard_list": told}
    return json.dumps(values).encode()


def receipts(folder: Path) -> list[bytes]:
    """With rows beside it and in it."""
    values = json.loads((folder / RECEIPT).read_bytes())
    table = with_groups(pq.read_table(io.BytesIO(ROWS)), MEMBERS)
    rows = {"bytes": len(ROWS), "sha256": hashlib.sha256(ROWS).hexdigest(), "members": ["json"]}
    inline = {name: table[name].to_pylist() for name in table.column_names}
    return [json.dumps(values | {"rows": each}).encode() for each in (rows, inline)]


def plans(folder: Path) -> list[bytes]:
    """Of a conversion of two videos: in one file, and the line of its shard in one in parts."""
    items = tuple(Item(key, "group", "train", {"file": f"{key}.mp4", "row": 1}, 1000) for key in "ab")
    plan = Plan({"source": "mine", "plan": 1}, (ShardPlan("train", 0, items),), {"missing": 1}, ("a note",))
    storage = Storage(folder / "planned")
    save_plan(plan, storage)
    line = line_of(plan.shards[0])
    return [storage.read("mine/plan.json"), b"\x00" + line]


def clip_tables(folder: Path) -> list[bytes]:
    """One of each form that is read, and of each list of classes."""
    rows = pa.table({"path": ["a.mp4", "b.mp4"], "label": [["x", "y"], ["x"]], "start": [None, 0.5]})
    pq.write_table(rows, folder / "clips.parquet")
    return [
        (folder / "clips.parquet").read_bytes(),
        b"path,label,split,group,start,end\na.mp4,x,train,g,0:01,2.5\nb.mp4,y,,,,\n",
        b'[{"path": "a.mp4", "label": ["x", "y"]}, {"path": "b.mp4", "end": 2}]',
        b'{"path": "a.mp4", "label": "x"}\n{"path": "b.mp4", "label": "y"}\n',
        b"a b.mp4 x\nc.mp4\ty\n",
        b"\0jump\nrun\n",
        b"\x001 jump\n2 run\n",
        b'\0{"jump": 0, "run": 1}',
        b'\0["jump", "run"]',
    ]


def predictions(folder: Path) -> list[bytes]:
    """One of each form that is read, behind the number of its reader."""
    np.savez(folder / "p.npz", ids=["a", "b"], logits=np.eye(2), labels=[0, 1])
    numbers, about = np.zeros(2, int), {"classes": ["x", "y"]}
    write_dump(folder / "p.parquet", ["a", "b"], ["1", "2"], numbers, numbers, np.eye(2), about)
    clip = b'[{"unique_id": "a", "parent_start_frame": 1, "parent_end_frame": 200, "parent_start_sec": 0.1, '
    return [
        b"\0" + (folder / "p.npz").read_bytes(),
        b"\0" + (folder / "p.parquet").read_bytes(),
        b"\0a.mp4 1 0.5 0.5\nb.mp4 0 0.25 0.75\n",
        b"\1a,0902,0.1,0.1,0.5,0.5,1,0.5\n",
        b"\2a,0903\na,0902,0.1,0.1,0.5,0.5,1,7\n",
        b'\3[{"id": "1", "template": "Doing [x]"}]',
        b"\4id,label\n1,c003 c004\n2,c001 1.0 2.0;c002 1.0 2.0\n",
        b"\5" + clip + b'"parent_end_sec": 7.0, "state_change": true, "parent_pnr_frame": 9}]',
        b'\6item {\n  name: "a"\n  id: 1\n}\n',
        b'\7{"a": "0", "b": "1"}',
    ]


def webm() -> list[bytes]:
    """VP8 and VP9 with hidden frames, and a file that changes its size."""
    options = {"b": "300k", "auto-alt-ref": "1", "lag-in-frames": "16", "g": "8"}
    return [*(encode("webm", codec, options, frames(20)) for codec in ("libvpx", "libvpx-vp9")), changing_size()]


def fragments() -> list[bytes]:
    """MP4 in pieces, and with an edit list."""
    flags = ("+frag_keyframe+empty_moov", "+frag_every_frame+empty_moov+default_base_moof")
    return [encode("mp4", "libx264", {"g": "5"}, frames(10), movflags=each) for each in flags]


def jpegs() -> list[bytes]:
    """Of one scan and of many."""
    picture, out = Image.fromarray(frames(1)[0]), []
    for progressive in (False, True):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", progressive=progressive)
        out.append(buffer.getvalue())
    return out


def one(parser: Callable[[bytes], None], data: bytes) -> None:
    """Runs a parser; our own errors are the answer to bad input."""
    try:
        parser(data)
    except PvitError as error:
        if "\n" in str(error):
            raise AssertionError(f"message of several lines: {error!r}") from error


def own_functions() -> list[Any]:
    """Every function and method of `pvit_data` and `pvit_model` that is loaded, for the fuzzer to watch."""
    found: dict[int, Any] = {}
    for name, module in list(sys.modules.items()):
        if not name.startswith(OURS):
            continue
        owners = [module, *(v for v in vars(module).values() if isinstance(v, type) and v.__module__ == name)]
        for value in [v for owner in owners for v in vars(owner).values()]:
            function = getattr(value, "fget", None) or getattr(value, "__func__", None) or value
            if isinstance(function, FunctionType) and (function.__module__ or "").startswith(OURS):
                found[id(function)] = function
    return list(found.values())


def main() -> None:
    """Fuzzes one parser."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("parser", choices=[*PARSERS, "all"], nargs="?", default="all")
    options.add_argument("--seconds", type=int, default=600)
    options.add_argument("--corpus", type=Path, default=Path(tempfile.gettempdir()) / "pvit-fuzz")
    args = options.parse_args()
    if args.parser == "all":
        raise SystemExit(_all(args.seconds, args.corpus))
    import atheris

    folder = args.corpus / args.parser
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        for number, data in enumerate(seeds(Path(temporary))[args.parser]):
            (folder / f"seed-{number}").write_bytes(data)
    parser = PARSERS[args.parser]
    for function in own_functions():
        atheris.instrument_func(function)
    limits = ["-max_len=65536", "-rss_limit_mb=1500", "-timeout=10", f"-max_total_time={args.seconds}"]
    atheris.Setup([sys.argv[0], str(folder), f"-artifact_prefix={folder}/", *limits], lambda data: one(parser, data))
    atheris.Fuzz()


def _all(seconds: int, corpus: Path) -> int:
    import subprocess

    failed = 0
    for name in PARSERS:
        share = seconds * WEIGHTS[name] // sum(WEIGHTS.values())
        command = [sys.executable, "-m", "tests.torture.fuzz", name, f"--seconds={share}", f"--corpus={corpus}"]
        print(f"== {name}, {share} s", flush=True)
        failed += subprocess.run(command, check=False).returncode != 0
    return int(failed > 0)


if __name__ == "__main__":
    main()
