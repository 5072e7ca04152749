"""What is killed: conversions and makers of layers, each started again and again by a process that has imported it all.

Run as a script: `makers.py TOYS MAKER PAUSE MOST`; of each line read it forks a process that makes that folder's data
set, and says its number, and when it has ended its exit code.
"""

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow

from pvit_cli.data import main
from pvit_converters.engine import plan_file
from pvit_converters.engine.plan import Settings
from pvit_converters.engine.run import Job, convert
from pvit_converters.engine.signals import interruptible
from pvit_data import LabelSpace, Sample, ShardWriter
from pvit_data.errors import Interrupted

VERBS = LabelSpace("verbs", ("push", "pull", "lift"))
COUNTS = {"train": 8, "val": 3}


def write_base(folder: Path) -> None:
    """What layers are made over: six shards of two splits."""
    for split, count in COUNTS.items():
        with ShardWriter(folder, "clips", split, spaces={"action": VERBS}, shard_bytes=6000) as writer:
            for i in range(count):
                rgb = np.random.default_rng([i, len(split)]).integers(0, 255, (2, 16, 16, 3), dtype=np.uint8)
                writer.write(Sample(key=f"{split}-{i:02}", group=f"{split}-g{i // 2}", rgb=rgb, fps=8, action=i % 3))


def keys() -> Iterator[str]:
    return (f"{split}-{i:02}" for split, count in COUNTS.items() for i in range(count))


def source(out: Path, pause: float) -> None:
    from toy_converter import ToyConverter, ToyOptions

    convert(Job(ToyConverter, Path("."), str(out), ToyOptions(seconds=pause), Settings(shard_bytes=6000), 1))


def layer(out: Path, pause: float) -> None:
    from toy_layers import Bright, BrightOptions

    convert(Job(Bright, out, str(out), BrightOptions(seconds=pause), workers=1))


def splits(out: Path, pause: float) -> None:
    command = ["split", str(out), "--name", "cv", "--folds", "2", "--of", "train,val", "--json"]
    if (out / "layers/cv-0").exists():  # it may be listed already
        command.append("--overwrite")
    if (code := main(command)) != 0:
        raise Interrupted("stopped") if code == 75 else AssertionError(code)


def writer(out: Path, pause: float) -> None:
    if "flat" in json.loads((out / "manifest.json").read_text(encoding="utf-8")).get("layers", {}):
        return  # killed when all was done
    with interruptible("stopped"), ShardWriter(out, "flat", base="clips") as layer:
        for i, key in enumerate(keys()):
            layer.write(Sample(key=key, depth=np.full((2, 16, 16), 1 + i % 7, np.float32)))


MAKERS: dict[str, Callable[[Path, float], None]] = {
    "source": source,
    "layer": layer,
    "splits": splits,
    "writer": writer,
}


def serve() -> None:
    sys.path.insert(0, sys.argv[1])
    maker, pause = MAKERS[sys.argv[2]], float(sys.argv[3])
    plan_file.MOST_IN_ONE_FILE = int(sys.argv[4])
    for name in ("pvit_data.codecs.video.decode", "pvit_data.splitting.write", "pyarrow.parquet", "pyarrow.compute"):
        importlib.import_module(name)
    pyarrow.array([0])  # imports pandas
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        for line in sys.stdin:
            pid = os.fork()
            if pid == 0:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                os.dup2(nothing.fileno(), 1)
                try:
                    maker(Path(line.strip()), pause)
                except (Interrupted, KeyboardInterrupt):
                    os._exit(75)
                os._exit(0)
            print(pid, flush=True)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
