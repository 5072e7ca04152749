"""`demo/report.html`: what the demo did, its samples, curves, held-out results and predictions, in one offline page."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import pvit_data
from pvit_data.looking import pictures as draw
from pvit_model.reporting.examples import draw_examples
from pvit_model.reporting.report import STYLE, curves, data_uri, result_sentences, results_table
from pvit_model.runs.log import read_log
from pvit_model.using.loading import load_model
from pvit_model.using.source_report import SourceReport

SIDE = 128
"""Height of a picture on the sheets, pixels."""


def read_results(files: Sequence[Path]) -> list[SourceReport]:
    """The reports that `pvit eval --out` wrote."""
    found = []
    for file in files:
        for r in json.loads(file.read_text())["reports"]:
            tables = [
                {
                    t: {k: math.nan if v is None else v for k, v in row.items()}
                    for t, row in r[name].items()
                }
                for name in ("metrics", "constant")
            ]
            found.append(
                SourceReport(r["source"], r["split"], r["clips"], *tables, r["constant_clips"])
            )
    return found


def verdicts(reports: Sequence[SourceReport]) -> list[str]:
    """The two comparisons that say whether anything was learned, one sentence each."""
    lines = []
    for report in reports:
        if "depth" in report.metrics:
            value, fixed = report.metrics["depth"]["rmse"], report.constant["depth"]["rmse"]
            lines.append(
                f"depth: RMSE {value:.3f} m on {report.clips} frames of rooms never trained on; the training set's "
                f"mean depth map gives {fixed:.3f} m, so this is {value / fixed:.3f}x of it."
            )
        if "action" in report.metrics:
            m = report.metrics["action"]
            lines.append(
                f"action: {100 * m['top1']:.1f} % of {m['videos']:.0f} held-out clips; the majority class gives "
                f"{100 * m['majority']:.1f} %, so this is {(m['top1'] - m['majority']) / m['majority_se']:.1f} "
                "binomial standard errors above it."
            )
    return lines


def _tile(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    return draw.resize(picture, SIDE, round(width * SIDE / height), smooth=False)


def still_sheet(shards: Path, number: int = 4) -> bytes:
    """Annotated stills: image, depth, normals, segmentation."""
    ds = pvit_data.open(
        shards, split="train", where="has_rgb and has_depth and has_normal and has_segm"
    )
    rows = []
    for i in np.linspace(0, len(ds) - 1, number).astype(int):
        s = ds[int(i)]
        assert s.depth is not None
        assert s.normal is not None
        assert s.segm is not None
        depth = draw.depth_picture(s.depth[0], draw.depth_range(s.depth[0]))
        segm = draw.segm_picture(
            np.where(s.segm[0] == s.spaces["segm"].ignore, -1, s.segm[0]), s.spaces["segm"]
        )
        rows.append([_tile(p) for p in (s.rgb[0], depth, draw.normal_picture(s.normal[0]), segm)])  # type: ignore[index]
    return draw.png(draw.grid(rows))


def clip_sheet(shards: Path, number: int = 6) -> tuple[bytes, list[str]]:
    """Frames of clips, one clip a row, and the clips' action names."""
    ds = pvit_data.open(shards, split="train", fields=["rgb", "action"])
    rows, names = [], []
    for i in np.linspace(0, len(ds) - 1, number).astype(int):
        s = ds[int(i)]
        assert isinstance(s.rgb, np.ndarray)
        assert isinstance(s.action, int)
        rows.append([_tile(f) for f in s.rgb[np.linspace(0, len(s.rgb) - 1, 6).astype(int)]])
        names.append(s.spaces["action"].class_name(s.action))
    return draw.png(draw.grid(rows)), names


def predictions(
    run: Path, shards: Path, source: str, split: str, number: int
) -> list[tuple[str, bytes]]:
    """(caption, PNG) of predictions beside the truth, for held-out samples."""
    model, inference = load_model(str(run), "cpu")
    ds = pvit_data.open(shards, source=source, split=split)
    inference = inference.for_source(source, ds.sources[source].tasks)
    device = next(model.parameters()).device
    return [
        (text, draw.png(strip))
        for text, strip in draw_examples(model, inference, ds, source, number, device)
    ]


def _figure(png: bytes, text: str) -> str:
    return f'<figure><img src="{data_uri(png)}" alt=""><figcaption>{html.escape(text)}</figcaption></figure>'


def write_report(
    page: Path, out: Path, steps: Sequence[tuple[str, str, float]], results: Sequence[Path]
) -> list[str]:
    """Writes the page and returns its verdicts.

    Args:
        page: file to write.
        out: the demo's folder, with `shards/`, `run/` and `predict/`.
        steps: (title, command, seconds).
        results: files of `pvit eval --out`, on held-out data.
    """
    found = read_results(results)
    lines = verdicts(found)
    clips, names = clip_sheet(out / "shards/ssv2")
    rows = "".join(
        f"<tr><td>{html.escape(title)}</td><td><code>{html.escape(command)}</code></td><td>{seconds:.0f} s</td></tr>"
        for title, command, seconds in steps
    )
    shown = [
        p
        for r in found
        for p in predictions(out / "run", out / "shards" / r.source, r.source, r.split, 4)
    ]
    body = [
        "<h1>PViT demo</h1><p>One small video model, trained on two datasets that are labelled for different things: "
        "actions on video clips (<b>ssv2</b> layout), depth, normals and segmentation on still images (<b>hypersim</b> "
        "layout). Everything below was rendered, converted, trained and measured on this machine. One seed: it shows "
        "that the path works, not how good the method is.</p>",
        "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>",
        "<h2>Samples</h2>"
        + _figure(still_sheet(out / "shards/hypersim"), "hypersim: image, depth, normals, classes"),
        _figure(clips, "ssv2, one clip a row: " + "; ".join(names)),
        "<h2>Results on held-out data</h2>" + result_sentences(found) + results_table(found),
        "<h2>Curves</h2>" + curves(read_log(out / "run")),
        "<h2>Predictions on held-out data</h2>"
        + "".join(_figure(png, text) for text, png in shown),
        "<h2>Prediction on a video file</h2>"
        + _figure(
            (out / "predict/overlay.png").read_bytes(),
            "pvit predict: overlay.png; overlay.mp4 moves",
        ),
        f"<h2>What was run</h2><table><tr><th>step</th><th>command</th><th>time</th></tr>{rows}</table>",
    ]
    head = f"<!doctype html><html lang='en'><meta charset='utf-8'><title>PViT demo</title><style>{STYLE}</style>"
    page.write_text(head + "".join(body) + "</html>\n", encoding="utf-8")
    return lines
