"""The report at the end of a run: one HTML file with results, curves, predictions and how it was made.

Self-contained: curves are inline SVG, pictures PNG data URIs; no script, no network.
"""

from __future__ import annotations

import base64
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pvit_data.errors import UsageError
from pvit_data.looking.svg import escape
from pvit_data.storage.files import write_file
from pvit_model.recipes.plan import Plan
from pvit_model.reporting.curves import chart, smooth
from pvit_model.runs.log import read_log
from pvit_model.tasks import get_task
from pvit_model.using.source_report import SourceReport

MOST_LINES = 50_000  # of training: a longer log is read in part
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #777; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; } td, th { padding: .25rem .8rem .25rem 0; text-align: right; }
td:first-child, th:first-child, td:nth-child(2), th:nth-child(2) { text-align: left; }
th { font-weight: 600; border-bottom: 1px solid var(--line); } tr + tr td { border-top: 1px solid #8882; }
.good { color: #16a34a; font-weight: 600; } .bad { color: #dc2626; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: 1rem; }
svg.chart { width: 100%; } svg .title { font: 600 12px system-ui; fill: currentColor; }
svg .tick, svg .key { font: 10px system-ui; } svg .tick { fill: var(--soft); }
svg .axis { stroke: var(--soft); stroke-width: .8; }
svg .grid { stroke: var(--line); stroke-width: .6; }
svg .mark { stroke: var(--soft); stroke-dasharray: 4 3; }
figure { margin: 1rem 0; } figure img { max-width: 100%; image-rendering: auto; border-radius: 4px; }
figcaption, .soft { color: var(--soft); } pre { overflow: auto; background: #8881; padding: .8rem; border-radius: 6px; }
"""


POLICY = (
    "<meta http-equiv='Content-Security-Policy' "
    "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
)


def data_uri(png: bytes) -> str:
    """A PNG file as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "–"


def results_table(reports: Sequence[SourceReport]) -> str:
    """Every metric of every source, beside the constant predictor's."""
    rows = [
        _row(report, target, name)
        for report in reports
        for target, values in report.metrics.items()
        for name in values
        if name not in get_task(target).facts
    ]
    head = (
        "<tr><th>source</th><th>metric</th><th>value</th>"
        "<th>constant predictor</th><th>ratio</th><th>clips</th></tr>"
    )
    return f"<table>{head}{''.join(rows)}</table>"


def _row(report: SourceReport, target: str, name: str) -> str:
    task = get_task(target)
    fixed = dict(report.constant.get(target, {}))
    if task.chance in report.metrics[target]:  # what guessing gives is the constant of the main one
        fixed[task.main] = report.metrics[target][task.chance]
    constant = _number(fixed[name]) if name in fixed else ""
    ratio = report.ratios().get(target, {}).get(name, math.nan)
    mark, times = "", ""
    if math.isfinite(ratio):
        mark = f' class="{"good" if ratio < 1 else "bad"}"'
        times = f"{ratio:.3f}x"
    arrow = "↓" if task.is_lower_better(name) else ""
    return (
        f"<tr><td>{escape(report.source)}</td><td>{escape(target)} {escape(task.named(name))} {arrow}</td>"
        f"<td>{_number(report.metrics[target][name])}</td><td>{constant}</td>"
        f"<td{mark}>{times}</td><td>{report.clips}</td></tr>"
    )


def result_sentences(reports: Sequence[SourceReport]) -> str:
    """What tasks say of their results in a sentence, such as accuracy against the majority class."""
    said = [
        (report.source, get_task(target).result_sentence(values))
        for report in reports
        for target, values in report.metrics.items()
    ]
    return "".join(
        f"<p><b>{escape(source)}</b>: {escape(text)}</p>" for source, text in said if text
    )


def curves(lines: Sequence[Mapping[str, Any]]) -> str:
    """Training losses per task, learning rate, speed, and every validation's main metrics."""
    losses: dict[str, list[tuple[float, float]]] = defaultdict(list)
    evals: dict[str, list[tuple[float, float]]] = defaultdict(list)
    general: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for line in lines:
        step = float(line["step"])
        if line["kind"] == "train":
            general["loss"].append((step, float(line["loss"])))
            general["lr"].append((step, float(line["lr"])))
            for name, value in line.get("losses", {}).items():
                losses[name].append((step, float(value)))
        elif line["kind"] == "eval":
            for name, value in line.items():
                if isinstance(value, int | float) and name != "step":
                    evals[name].append((step, float(value)))
    window = max(1, len(general["loss"]) // 40)
    charts = [chart("total loss (training)", {"loss": smooth(general["loss"], window)}, y="loss")]
    charts += [
        chart(f"{n} loss (training)", {n: smooth(p, window)}, y="loss")
        for n, p in sorted(losses.items())
    ]
    charts += [_held_out(name, evals) for name in sorted(evals)]
    charts.append(chart("learning rate", {"lr": general["lr"]}, y="learning rate"))
    return f'<div class="charts">{"".join(c for c in charts if c)}</div>'


def _held_out(name: str, evals: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """The chart of one metric of the validations: of main ones beside guessing, and of losses over the constant's."""
    place, _, metric = name.rpartition("/")
    if metric == "loss_of_constant":
        title = f"{place}: held-out loss / constant"
        return chart(title, {"ratio": evals[name]}, {"constant": 1.0}, y="ratio")
    try:
        task = get_task(place.partition("/")[2])
    except UsageError:  # a task that is installed no more
        return ""
    if not task.chance or metric != task.main:
        return ""
    guessed = evals.get(f"{place}/{task.chance}", [(0.0, math.nan)])[-1][1]
    marks = {task.chance: guessed}
    return chart(f"{name} (held out)", {metric: evals[name]}, marks, y=task.named(metric))


def write_report(
    out: Path,
    plan: Plan,
    reports: Sequence[SourceReport],
    pictures: Sequence[tuple[str, bytes]] = (),
) -> None:
    """Writes `report.html`, and the same numbers as `report.json`.

    Args:
        out: the run's folder, whose log and facts are read.
        plan: the run's.
        reports: the last validation.
        pictures: (caption, PNG file) of predictions on held-out clips.
    """
    name = escape(plan.config.name)
    figures = "".join(
        f'<figure><img src="{data_uri(png)}" alt=""><figcaption>{escape(text)}</figcaption></figure>'
        for text, png in pictures
    )
    body = [
        f"<h1>PViT run “{name}”</h1><p class='soft'>{escape(plan.config.about)}</p>",
        "<h2>Results on held-out clips</h2>",
        result_sentences(reports),
        results_table(reports),
        "<h2>Curves</h2>",
        curves(read_log(out, MOST_LINES)),
        "<h2>Predictions on held-out clips</h2>" + figures if figures else "",
        "<h2>How it was made</h2>",
        *(
            f"<h3>{f}</h3><pre>{_file(out / f)}</pre>"
            for f in ("plan.txt", "config.yaml", "data.json")
        ),
        f"<h3>environment.json</h3><pre>{_file(out / 'environment.json')}</pre>",
    ]
    page = "<!doctype html><html lang='en'><meta charset='utf-8'>"
    page += f"{POLICY}<title>PViT {name}</title><style>{STYLE}</style>"
    write_file(out / "report.html", page + "".join(body) + "</html>\n")
    values = {"recipe": plan.config.name, "reports": [r.to_json() for r in reports]}
    write_file(out / "report.json", json.dumps(values, indent=1, allow_nan=False) + "\n")


def _file(path: Path) -> str:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return "\n".join(map(escape, text.split("\n")))
