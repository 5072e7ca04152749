"""A source without files, for testing the engine: it fails, dies or dawdles where it is told to."""

import os
import signal
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pvit_converters.base import Converter, ConverterOptions, Item, Listing, SourceInfo, Unwanted
from pvit_data.errors import Interrupted, SourceError
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample


class ToyOptions(ConverterOptions):
    selects: ClassVar[frozenset[str]] = frozenset({"groups"})

    groups: int = 6
    per_group: int = 3
    fail: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    kill: tuple[str, ...] = ()
    kill_once: Path | None = None
    interrupt: tuple[str, ...] = ()
    exit: tuple[str, ...] = ()
    broken: str = ""
    colour: int = 1
    seconds: float = 0
    reverse: bool = False


class ToyConverter(Converter):
    info = SourceInfo(
        name="toy",
        title="Toy",
        licence="CC0-1.0",
        redistributable=True,
        citation="",
        obtain="",
        tree="",
        produces=("rgb",),
    )
    Options = ToyOptions

    def __init__(self, root: Path, options: Any = None) -> None:
        super().__init__(root, options)
        if self.opts.broken and _is_worker():
            raise _error(self.opts.broken)

    @property
    def opts(self) -> Any:
        return self.options

    def spaces(self) -> dict[str, LabelSpace]:
        return {"action": LabelSpace("toy", ("a", "b"))}

    def list_items(self) -> Listing:
        items = [
            Item(f"toy-{g}-{n}", f"group{g}", "", {"g": g, "n": n}, 1000)
            for g in range(self.opts.groups)
            for n in range(self.opts.per_group)
        ]
        return Listing(items[::-1] if self.opts.reverse else items, {"not there": 2}, ["a note"])

    def load(self, item: Item) -> Sample:
        time.sleep(self.opts.seconds)
        if item.key in self.opts.fail:
            raise SourceError(f"{item.key}.png: damaged", reason="corrupt-png")
        if item.key in self.opts.unwanted:
            raise Unwanted("too dull")
        if item.key in self.opts.interrupt:
            raise Interrupted("stopped")
        if item.key in self.opts.exit and _is_worker():
            raise SystemExit(3)
        if item.key in self.opts.kill and "PYTEST_CURRENT_TEST" in os.environ and _is_worker():
            os.kill(os.getpid(), signal.SIGKILL)
        once = self.opts.kill_once
        if once is not None and item.key == "toy-2-1" and not once.exists():
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        g, n = item.ref["g"], item.ref["n"]
        rng = np.random.default_rng([g, n, self.opts.colour])
        meta = {"warnings": ["odd"] if n == 1 else []}
        rgb = rng.integers(0, 255, (1, 16, 16, 3), np.uint8)
        return Sample(key=item.key, group=item.group, rgb=rgb, action=g % 2, meta=meta)


class AwkwardError(Exception):
    """Made from two values, which pickling forgets."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)
        self.two = two


def _error(kind: str) -> Exception:
    errors = {
        "ZeroDivisionError": ZeroDivisionError("by zero"),
        "SourceError": SourceError("broken", reason="odd"),
        "AwkwardError": AwkwardError("one", "two"),
    }
    return errors[kind]


def _is_worker() -> bool:
    import multiprocessing

    return multiprocessing.parent_process() is not None
