"""Progress of a long command: a bar with rate and time left on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pvit_cli.output import console, safe, say

LINE_SECONDS = 10.0


@contextmanager
def progress(what: str, unit: str = "samples") -> Iterator[Callable[[int, int], None]]:
    """Shows progress on stderr while the block runs.

    Args:
        what: what is being done, for example `"convert hypersim"`.
        unit: what is counted.

    Returns:
        A function to call with (done, total).
    """
    if not sys.stderr.isatty():
        yield _Lines(what, unit)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(safe(what), total=None, rate="")
        start, first = time.monotonic(), -1

        def update(done: int, total: int) -> None:
            nonlocal first
            first = done if first < 0 else first
            rate = (done - first) / max(time.monotonic() - start, 1e-9)
            bar.update(task, completed=done, total=total, rate=safe(f"{rate:.1f} {unit}/s"))

        yield update


class _Lines:
    """Plain lines for logs: the first after some seconds, then in steady intervals."""

    def __init__(self, what: str, unit: str) -> None:
        self._what, self._unit = what, unit
        self._start = self._last = time.monotonic()
        self._first = -1

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._first < 0:
            self._first = done
        if now - self._last < LINE_SECONDS:
            return
        self._last = now
        rate = (done - self._first) / max(now - self._start, 1e-9)
        left = f", {_clock((total - done) / rate)} left" if rate > 0 else ""
        share = 100 * done / max(total, 1)
        say(
            f"{self._what}: {done:,} of {total:,} {self._unit} ({share:.0f} %), {rate:.1f}/s{left}",
            stderr=True,
        )


def _clock(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
