"""What a run shows while it trains: a live table on a terminal, plain lines in a log file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pvit_data.words import plain_url, shown


class View(Protocol):
    """Anything that can show a run's progress."""

    def update(self, step: int, values: Mapping[str, float], losses: Mapping[str, float]) -> None:
        """Shows the state after `step` steps."""

    def tick(self, step: int, eta_s: float) -> None:
        """Shows that `step` steps are done, and how many seconds are left."""

    def note(self, text: str) -> None:
        """Shows a sentence that stays."""

    def close(self) -> None:
        """Leaves the terminal tidy."""


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(75), duration(3 * 3600 + 120)
    ('1m15s', '3h02m')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def _safe(text: str) -> Text:
    """A line with names that come from data: shown, not obeyed."""
    return Text(shown(plain_url(text)))


def _facts(values: Mapping[str, float]) -> list[str]:
    parts = [f"lr {values['lr']:.2e}", f"{values['samples_per_s']:.1f} samples/s"]
    parts.append(f"data wait {100 * values['data_wait']:.0f}%")
    parts.append(f"{values['memory_gb']:.1f} GB")
    return parts


class PlainView:
    """One line per update, for logs and pipes."""

    def __init__(self, console: Console, num_steps: int, every_s: float = 0.0) -> None:
        self.console, self.num_steps, self.every_s = console, num_steps, every_s
        self._last = -float("inf")
        self._is_told = False

    def update(self, step: int, values: Mapping[str, float], losses: Mapping[str, float]) -> None:
        """Prints a line."""
        now = time.monotonic()
        if now - self._last < self.every_s and step < self.num_steps:
            return
        self._last, self._is_told = now, True
        terms = " ".join(f"{name} {value:.4g}" for name, value in losses.items())
        facts = ", ".join(_facts(values))
        line = f"step {step}/{self.num_steps}  loss {values['loss']:.4g} ({terms})  {facts}, eta {_eta(values)}"
        self.console.print(_safe(line), soft_wrap=True)

    def tick(self, step: int, eta_s: float) -> None:
        """Says after the first step how long all of them will take."""
        if not self._is_told:
            self._is_told = True
            line = f"step {step}/{self.num_steps}  about {duration(eta_s)} left"
            self.console.print(_safe(line), soft_wrap=True)

    def note(self, text: str) -> None:
        """Prints a line."""
        self.console.print(_safe(text), soft_wrap=True)

    def close(self) -> None:
        """Nothing to tidy."""


def _eta(values: Mapping[str, float]) -> str:
    return duration(values["eta_s"])


class TerminalView:
    """A live panel: progress bar with ETA, each task's loss now and at the start, speed, data wait, memory."""

    def __init__(self, console: Console, num_steps: int) -> None:
        self.num_steps = num_steps
        self._first: dict[str, float] = {}
        self._below: tuple[Table, Text] | None = None
        self._live = Live(console=console, refresh_per_second=4, transient=False)
        self._live.start()

    def update(self, step: int, values: Mapping[str, float], losses: Mapping[str, float]) -> None:
        """Redraws."""
        for name, value in losses.items():
            self._first.setdefault(name, value)
        self._below = self._table(values, losses), self._facts(values)
        self.tick(step, values["eta_s"])

    def tick(self, step: int, eta_s: float) -> None:
        """Redraws the bar."""
        self._live.update(Group(self._bar(step, eta_s), *(self._below or ())))

    def _bar(self, step: int, eta_s: float) -> Table:
        row = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=self.num_steps, completed=step, width=40)
        row.add_row(
            f"step {step}/{self.num_steps}",
            bar,
            f"{100 * step // self.num_steps}%",
            f"eta {duration(eta_s)}",
        )
        return row

    def _table(self, values: Mapping[str, float], losses: Mapping[str, float]) -> Table:
        table = Table(box=None, padding=(0, 2))
        for title in ("loss", "now", "first"):
            table.add_column(
                title,
                justify="left" if title == "loss" else "right",
                style="dim" * (title == "first"),
            )
        table.add_row("total", f"{values['loss']:.4f}", "")
        for name, value in losses.items():
            table.add_row(_safe(name), f"{value:.4f}", f"{self._first[name]:.4f}")
        return table

    @staticmethod
    def _facts(values: Mapping[str, float]) -> Text:
        return Text("  ".join(_facts(values)), style="dim")

    def note(self, text: str) -> None:
        """Prints a line above the panel."""
        self._live.console.print(_safe(text))

    def close(self) -> None:
        """Stops redrawing; the last panel stays."""
        self._live.stop()


class SilentView:
    """Shows nothing: for ranks other than the first, and for tests."""

    def update(self, step: int, values: Mapping[str, float], losses: Mapping[str, float]) -> None:
        """Shows nothing."""

    def tick(self, step: int, eta_s: float) -> None:
        """Shows nothing."""

    def note(self, text: str) -> None:
        """Shows nothing."""

    def close(self) -> None:
        """Nothing to tidy."""


def make_view(console: Console, num_steps: int, quiet: bool = False) -> View:
    """The view that suits where the output goes."""
    if quiet:
        return SilentView()
    return (
        TerminalView(console, num_steps) if console.is_terminal else PlainView(console, num_steps)
    )
