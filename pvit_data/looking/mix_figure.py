"""A picture of a mixture's plan: the make-up of its first batches, and how much supervision each task gets, as SVG."""

from __future__ import annotations

from html import escape

from pvit_data.mixing.plan import MixPlan

COLOURS = ("#3b6fb6", "#e08a3c", "#5a9e5f", "#b8504c", "#8468a8", "#8c6a56", "#cc7ab5", "#7d7d7d")
SHOWN = 64
_BAR, _HEIGHT, _LEFT, _TOP, _ROW = 10, 180, 60, 40, 22


def figure(plan: MixPlan) -> str:
    """The plan as an SVG document."""
    batches = plan.first[:SHOWN]
    width = max(_LEFT + _BAR * len(batches) + 260, 640)
    below = _TOP + _HEIGHT + 60
    height = below + _ROW * (len(plan.tasks) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(
            _LEFT, 20, f"first {len(batches)} batches of {plan.batch_size} samples, by source", 14
        ),
        *_columns(plan, batches),
        *_legend(plan, _LEFT + _BAR * len(batches) + 20),
        _text(_LEFT, below - 14, "supervised samples per batch: average, and fewest to most", 14),
        *_tasks(plan, below, width),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _text(x: float, y: float, text: str, size: int = 12) -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}">{escape(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, colour: str, title: str) -> str:
    shape = (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}">'
    )
    return f"{shape}<title>{escape(title)}</title></rect>"


def _columns(plan: MixPlan, batches: list[list[int]]) -> list[str]:
    out = []
    for step, counts in enumerate(batches):
        top = float(_TOP)
        for index, count in enumerate(counts):
            part = _HEIGHT * count / plan.batch_size
            title = f"batch {step}: {count} of {plan.sources[index].name}"
            colour = COLOURS[index % len(COLOURS)]
            out.append(_rect(_LEFT + _BAR * step, top, _BAR - 1, part, colour, title))
            top += part
    for value in (0, plan.batch_size // 2, plan.batch_size):
        out.append(_text(20, _TOP + _HEIGHT * (1 - value / plan.batch_size) + 4, str(value)))
    return out


def _legend(plan: MixPlan, x: float) -> list[str]:
    out = []
    for index, source in enumerate(plan.sources):
        y = _TOP + _ROW * index
        out.append(_rect(x, y, 12, 12, COLOURS[index % len(COLOURS)], source.name))
        out.append(
            _text(
                x + 18, y + 11, f"{source.name} ({source.role}), {source.repeats:.2g} x per epoch"
            )
        )
    return out


def _tasks(plan: MixPlan, top: float, width: float) -> list[str]:
    out = []
    unit = (width - _LEFT - 220) / plan.batch_size
    for index, task in enumerate(plan.tasks):
        y = top + _ROW * index
        out.append(_text(8, y + 11, task.name))
        out.append(
            _rect(
                _LEFT,
                y,
                unit * task.per_batch,
                12,
                "#b8504c" if task.starved else "#5a9e5f",
                task.name,
            )
        )
        label = f"{task.per_batch:.1f} ({task.fewest} to {task.most})" + (
            f", quota {task.quota}" if task.quota else ""
        )
        out.append(_text(_LEFT + unit * task.per_batch + 6, y + 11, label))
    return out
