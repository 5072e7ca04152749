"""Conversion speed against its bare cost: reading the same raw files and encoding the same outputs, nothing else.

Run: python -m benchmarks.conversion [--sources phav,ehoi] [--rounds N]

"bare" opens every raw file of a sample with the library that the converter uses (Pillow, PyAV, zlib, h5py, json,
pycocotools), keeps the arrays, and encodes the finished sample with the same encoders; "convert" is a whole conversion
in this process, with plan, checks, hashes, index and card. CPU seconds, best of the rounds. Then the peak memory of a
process that converts one SURREACT clip of 300 frames with depth and normals.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from pvit_converters import registry
from pvit_converters.engine.run import Job, convert, source_spec
from pvit_converters.simulate import simulate
from pvit_data.writing.encode import encode_sample
from pvit_data.writing.shard import encoding_of

SAMPLES: dict[str, tuple[int, dict[str, Any]]] = {
    "phav": (4, {"preset": "format", "frames": 24}),
    "surreact": (4, {"preset": "format", "frames": 48, "maps": True, "sets": ("ntu/vibe",)}),
    "synadl": (4, {"preset": "format", "frames": 32}),
    "ehoi": (24, {"preset": "format"}),
    "hypersim": (12, {"preset": "format"}),
}
"""Samples per source and options of the simulator; sizes are those of the real datasets."""

BAR = 1.5
MEMORY_BAR = 1.5  # GiB


def read_bare(path: Path) -> None:
    """Decodes a raw file completely, as the converters' libraries do."""
    suffix = path.suffix.lower()
    if suffix in (".png", ".jpg"):
        from pvit_converters.raw.images import read_image

        read_image(path)
    elif suffix == ".mat":
        from pvit_converters.raw.mat import MatFile

        file = MatFile(path)
        for name in file.names:
            file.array(name)
    elif suffix == ".json":
        _read_json(path)
    elif suffix == ".hdf5":
        from pvit_converters.raw.hdf5 import read_hdf5

        read_hdf5(path, None)
    elif suffix in (".mp4", ".avi"):
        _read_video(path)
    else:
        path.read_bytes()


def _read_json(path: Path) -> None:
    """Annotations; COCO masks are decoded by pycocotools."""
    from pycocotools import mask as coco

    values = json.loads(path.read_bytes())
    if not path.name.endswith("_coco.json"):
        return
    sizes = {image["id"]: (image["height"], image["width"]) for image in values["images"]}
    for row in values["annotations"]:
        if row["segmentation"]:
            runs = coco.frPyObjects(row["segmentation"], *sizes[row["image_id"]])
            coco.decode(runs if isinstance(row["segmentation"], dict) else coco.merge(runs))


def _read_video(path: Path) -> None:
    """An AVI is decoded to frames, since it will be encoded anew; an MP4 is copied after one look at every frame."""
    if path.suffix == ".avi":
        from pvit_data.codecs.video import decode_video

        decode_video(path.read_bytes())
        return
    import av

    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for _ in container.decode(container.streams.video[0]):
            pass


def is_used(path: Path) -> bool:
    """Whether a converter reads the file at all."""
    unused = (
        "flow_",
        "raw_",
        "_fg.mp4",
        "position.hdf5",
        "normal_cam",
        "tonemap.jpg",
        "depth_maps",
        ".DS_Store",
    )
    return (
        path.is_file() and not any(part in str(path) for part in unused) and path.suffix != ".csv"
    )


def cpu(work: Callable[[], Any], rounds: int) -> float:
    """CPU seconds, the best of the rounds."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def forget() -> None:
    """As in a fresh process: the verdicts on videos, which are kept by content, would save each round but the first
    the decoding."""
    kept = import_module("pvit_data.codecs.video.survey")
    kept._surveys.clear()
    kept._ordered.clear()


def measure(source: str, folder: Path, rounds: int) -> tuple[float, float]:
    """Bare and conversion CPU seconds of one source."""
    count, options = SAMPLES[source]
    raw = folder / source
    simulate(source, raw, samples=count, seed=1, **options)
    kind = registry.load(source)
    converter = kind(raw, kind.Options())
    job = Job(kind, raw, str(folder / f"{source}-out"), kind.Options(), workers=1)
    encoding = encoding_of(source_spec(job, converter), "train")
    items = converter.list_items().items
    samples = [converter.load(item) for item in items]
    files = [path for path in sorted(raw.rglob("*")) if is_used(path)]

    def bare() -> None:
        for path in files:
            read_bare(path)
        for sample in samples:
            encode_sample(sample, encoding)

    def whole() -> None:
        shutil.rmtree(job.out, ignore_errors=True)
        forget()
        convert(job)

    whole()  # imports, tables and caches are no part of the comparison
    return cpu(bare, rounds), cpu(whole, rounds)


_ONE_CLIP = """
import re, sys
from pathlib import Path
from pvit_converters.engine.run import Job, convert
from pvit_converters.surreact import SurreactConverter, SurreactOptions
report = convert(Job(SurreactConverter, Path(sys.argv[1]), sys.argv[2], SurreactOptions(), workers=1))
assert report.converted == 1
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 2**20)
"""


def memory(folder: Path, frames: int = 300) -> float:
    """Peak GiB of a process that converts one SURREACT clip with depth and normals (Linux).

    Taken from /proc: what `getrusage` gives a child includes its parent's peak.
    """
    simulate("surreact", folder / "long", samples=1, frames=frames, maps=True, sets=("ntu/vibe",))
    command = [sys.executable, "-c", _ONE_CLIP, str(folder / "long"), str(folder / "long-out")]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Prints one line per source, and the memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sources", default=",".join(SAMPLES))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for source in options.sources.split(","):
            bare, whole = measure(source, Path(folder), options.rounds)
            print(
                f"{source:10} bare {bare:6.2f} s  convert {whole:6.2f} s  ratio {whole / bare:.2f} (bar {BAR})"
            )
        print(
            f"surreact, 300 frames with depth and normals: {memory(Path(folder)):.2f} GiB (bar {MEMORY_BAR})"
        )


if __name__ == "__main__":
    main()
