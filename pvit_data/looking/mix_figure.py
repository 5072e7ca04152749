"""A picture of a mixture's plan: the make-up of its first batches, and how much supervision each task gets, as SVG."""

from __future__ import annotations

from pvit_data.looking import svg
from pvit_data.mixing.plan import MixPlan

STARVED, FED = "#ef4444", "#10b981"
SHOWN = 64
_BAR, _HEIGHT, _LEFT, _TOP, _ROW = 10, 180, 60, 40, 22


def figure(plan: MixPlan) -> str:
    """The plan as an SVG document."""
    batches = plan.first[:SHOWN]
    width = max(_LEFT + _BAR * len(batches) + 260, 640)
    below = _TOP + _HEIGHT + 60
    height = below + _ROW * (len(plan.tasks) + 1)
    title = f"first {len(batches)} batches of {plan.batch_size} samples, by source"
    second = "supervised samples per batch: average, and fewest to most"
    parts = [
        svg.box(0, 0, width, height, fill="white"),
        svg.words(title, _LEFT, 20, font_size=14),
        *_columns(plan, batches),
        *_legend(plan, _LEFT + _BAR * len(batches) + 20),
        svg.words(second, _LEFT, below - 14, font_size=14),
        *_tasks(plan, below, width),
    ]
    return svg.picture(
        width, height, *(f"\n{part}" for part in parts), "\n",
        xmlns="http://www.w3.org/2000/svg", font_family="sans-serif", font_size=12, fill="#222",
    ) + "\n"  # fmt: skip


def _bar(x: float, y: float, width: float, height: float, colour: str, tip: str) -> str:
    title = svg.element("title", svg.escape(tip))
    return svg.element("rect", title, x=x, y=y, width=width, height=height, fill=colour)


def _columns(plan: MixPlan, batches: list[list[int]]) -> list[str]:
    out = []
    for step, counts in enumerate(batches):
        top = float(_TOP)
        for index, count in enumerate(counts):
            part = _HEIGHT * count / plan.batch_size
            tip = f"batch {step}: {count} of {plan.sources[index].name}"
            left = _LEFT + _BAR * step
            out.append(_bar(left, top, _BAR - 1, part, svg.colour_of(index), tip))
            top += part
    for value in (0, plan.batch_size // 2, plan.batch_size):
        out.append(svg.words(str(value), 20, _TOP + _HEIGHT * (1 - value / plan.batch_size) + 4))
    return out


def _legend(plan: MixPlan, x: float) -> list[str]:
    out = []
    for index, source in enumerate(plan.sources):
        y = _TOP + _ROW * index
        out.append(_bar(x, y, 12, 12, svg.colour_of(index), source.name))
        label = f"{source.name} ({source.role}), {source.repeats:.2g} x per epoch"
        out.append(svg.words(label, x + 18, y + 11))
    return out


def _tasks(plan: MixPlan, top: float, width: float) -> list[str]:
    out = []
    unit = (width - _LEFT - 220) / plan.batch_size
    for index, task in enumerate(plan.tasks):
        y = top + _ROW * index
        out.append(svg.words(task.name, 8, y + 11))
        colour = STARVED if task.starved else FED
        out.append(_bar(_LEFT, y, unit * task.per_batch, 12, colour, task.name))
        quota = f", quota {task.quota}" if task.quota else ""
        label = f"{task.per_batch:.1f} ({task.fewest} to {task.most}){quota}"
        out.append(svg.words(label, _LEFT + unit * task.per_batch + 6, y + 11))
    return out
