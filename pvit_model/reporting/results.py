"""Published numbers and ours side by side, as a page: every row of published tables, every file of published weights.

A number of ours comes from the passport of a result (`pvit eval --out`, `pvit score --out`) and from nowhere else; a
row that nobody has run stays empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import quote

import torch

from pvit_data.errors import FormatError, PvitError, UsageError
from pvit_data.scoring.compare import read_results
from pvit_data.scoring.protocols import DEFAULT as DEFAULT_PROTOCOL
from pvit_data.words import short, shown
from pvit_model.backbones import backbone_names, build_backbone
from pvit_model.backbones.base import Published
from pvit_model.recipes.loading import data_names, load_recipe, row_names, row_of
from pvit_model.recipes.published import entry_of

DEFAULT = {"top1": 0.0}
"""What is shown of a row that aims at nothing."""
TRAINING = re.compile(r"(?<![a-z])train(?![a-z])")
SECONDS = frozenset({"pnr_error_sec"})
MOST_RESULTS = 1000
ABOUT = """\
# Results

What `pvit results docs/results` prints: published numbers, and beside them those that this toolkit has reached.
A number of ours comes from the passport of a result in the folder `results`, which `pvit eval --out FILE` and
`pvit score --out FILE` write, and from nowhere else. **An empty cell was not run.** Accuracies and mAP are in
per cent, PNR errors in seconds; `on` says which videos, how many, frames x clips x crops of each, whose boxes of
persons, which weights training began with, and what is not as the row means it. Several results of a row stand below
each other. Results on videos that are known to have been trained on, on other data sets, and on the boxes of the truth
are left out.
"""


@dataclass
class Row:
    """What one number was published for: lines of the page.

    Args:
        name: of the recipe, or of the file of weights.
        data: the data set that it is about.
        target: published numbers, in per cent and seconds.
        results: files of results, each with a passport; a file may have several.
    """

    name: str
    data: str
    target: Mapping[str, float]
    results: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)


@dataclass(frozen=True)
class Results:
    """What the page shows.

    Args:
        recipes: rows of published tables.
        weights: files of published weights, by backbone and file.
        left_out: files of the folder that are no result of a row, each with the reason, in sentences.
    """

    recipes: Mapping[str, Row]
    weights: Mapping[tuple[str, str], Row]
    left_out: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        rows = [*self.recipes.values(), *self.weights.values()]
        return {
            row.name: {
                "target": dict(row.target),
                "results": [{"file": file, **passport} for file, passport in row.results],
            }
            for row in rows
        }


def collect(folder: Path | None) -> Results:
    """All rows, with the results that a folder holds.

    Args:
        folder: its `*.json` files are results; None: there are none.

    Raises:
        UsageError: if it cannot be read.
    """
    recipes = {name: Row(name, _data_of(name), load_recipe(name).target) for name in row_names()}
    weights = {(name, e.file): _row_of_file(name, e) for name, e in _published()}
    found = Results(recipes, weights)
    for path in _files(folder):
        try:
            passports = [(passport, _row(found, path, passport)) for passport in read_results(path)]
        except PvitError as error:
            found.left_out.append(str(error))
            continue
        for passport, row in passports:
            twin = next((file for file, known in row.results if known == passport), None)
            if twin is None:
                row.results.append((path.name, passport))
            else:
                found.left_out.append(f"{path}: is the same result as {twin}")
    return found


def _files(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    try:
        names = sorted(path.name for path in folder.iterdir() if path.suffix == ".json")
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror or error}; give a folder of results") from None
    if len(names) > MOST_RESULTS:
        raise UsageError(f"{folder}: {len(names):,} results, expected at most {MOST_RESULTS:,}")
    return [folder / name for name in names]


def _data_of(row: str) -> str:
    return row.partition("/")[0]


def _row_of_file(backbone: str, entry: Published) -> Row:
    assert entry.top1 is not None
    return Row(f"{entry.file} ({backbone})", entry.protocol, {"top1": entry.top1})


def _published() -> Iterator[tuple[str, Published]]:
    """Backbone and file of all published weights with a top-1 on a data set that there are recipes for."""
    for name in backbone_names():
        with torch.device("meta"):
            published = build_backbone(name).published
        for entry in published:
            if entry.top1 is not None and entry.protocol in data_names():
                yield name, entry


def _row(found: Results, path: Path, passport: Mapping[str, Any]) -> Row:
    """The row that a result belongs to.

    Raises:
        PvitError: if there is none, or it is no result of held-out samples.
    """
    row = _row_of_model(found, path, passport)
    if not _numbers(passport, row.target):
        wanted = ", ".join(row.target or DEFAULT)
        raise UsageError(f"{path}: has none of the numbers of {row.name}: {wanted}")
    evaluated = _evaluated(passport)
    source = evaluated.get("source", row.data)
    if source != row.data:
        raise UsageError(
            f"{path}: was measured on {short(source)}, {row.name} is about '{row.data}'"
        )
    if evaluated.get("boxes_of", "") is None:
        raise UsageError(
            f"{path}: the persons of the ground truth itself were scored, which no published number does; evaluate a "
            f"detector's boxes: --layer {row.data}={row.data}-detections"
        )
    if _is_of_training(passport):
        listed = shown(str(_part(passport, "list").get("name")))
        raise UsageError(
            f"{path}: was measured on training samples ({listed}), {row.name} is about held-out ones"
        )
    if overlap := _part(evaluated, "overlap"):
        told = ", ".join(
            f"{shown(str(count))} of '{shown(name)}'" for name, count in overlap.items()
        )
        raise UsageError(
            f"{path}: of its {shown(str(evaluated.get('clips')))} clips these are training samples of the network: "
            f"{told}"
        )
    return row


def _is_of_training(passport: Mapping[str, Any]) -> bool:
    """Whether a result is of training samples: by its split, or where nobody says that by the name of its list."""
    split = _evaluated(passport).get("split")
    if isinstance(split, str):
        return split == "train"
    return bool(TRAINING.search(str(_part(passport, "list").get("name")).lower()))


def _evaluated(passport: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `pvit eval` says of the samples that the network was shown."""
    return _part(_part(passport, "model"), "evaluated")


def _row_of_model(found: Results, path: Path, passport: Mapping[str, Any]) -> Row:
    """The row of a result's network."""
    model = passport.get("model")
    if not isinstance(model, dict):
        raise FormatError(f"{path}: says nothing of the model; dump and score it with this toolkit")
    backbone, recipe = str(model.get("backbone", "")), str(model.get("recipe", ""))
    name = row_of(recipe)
    if backbone:
        for (known, file), row in found.weights.items():
            if known == backbone and _is_named(file, str(model.get("name", "")), known):
                return row
    elif name in found.recipes and model.get("downstream") == _data_of(name):
        return found.recipes[name]
    whose = (
        f"of recipe {short(recipe) if recipe else '(none told)'} on {short(model.get('downstream') or '(none told)')}"
        if not backbone
        else f"of the weights {short(model.get('name', ''))} ({short(backbone)})"
    )
    raise UsageError(
        f"{path}: the result {whose} is no row of the page; rows are what `pvit recipes --table` lists, and published "
        "weights with a stated accuracy"
    )


def _is_named(file: str, name: str, backbone: str) -> bool:
    with torch.device("meta"):
        entry = entry_of(Path(name), build_backbone(backbone).published)
    return entry is not None and entry.file == file


def _numbers(passport: Mapping[str, Any], target: Mapping[str, float]) -> dict[str, float]:
    """Ours in per cent and seconds: what the row aims at, top-1 where it aims at nothing."""
    wanted = target or DEFAULT
    found = {**passport, "oscc_top1": passport.get("oscc_top1", passport.get("top1"))}
    values = {name: found[name] for name in wanted if isinstance(found.get(name), float | int)}
    return {name: value if name in SECONDS else 100 * value for name, value in values.items()}


def number_text(name: str, value: float) -> str:
    """A number with its metric.

    >>> number_text("top1", 69.4), number_text("pnr_error_sec", 0.637)
    ('top1 69.4', 'pnr_error_sec 0.637')
    """
    return f"{name} {value:.3f}" if name in SECONDS else f"{name} {value:.1f}"


def numbers_text(numbers: Mapping[str, float]) -> str:
    """Several of them."""
    return ", ".join(number_text(name, value) for name, value in numbers.items())


def page(results: Results) -> str:
    """The page in Markdown."""
    recipes, weights = list(results.recipes.values()), list(results.weights.values())
    lines = (
        ABOUT,
        f"{_run(recipes)} of {len(recipes)} rows of published tables have a result, "
        f"and {_run(weights)} of {len(weights)} files of published weights.",
        "",
        "## Recipes",
        "",
        *_table("recipe", recipes),
        "",
        "## Published weights",
        "",
        *_table("file (backbone)", weights),
    )
    return "\n".join(lines) + "\n"


def _run(rows: Iterable[Row]) -> int:
    """How many have a result."""
    return sum(bool(row.results) for row in rows)


def _table(title: str, rows: Iterable[Row]) -> Iterator[str]:
    yield f"| {title} | published | here | on | result |"
    yield "|---|---|---|---|---|"
    for row in rows:
        results = [
            (
                numbers_text(_numbers(given, row.target)),
                _on(given),
                f"[{shown(file)}](results/{quote(file)})",
            )
            for file, given in row.results
        ]
        for ours in results or [("", "", "")]:
            cells = (row.name, numbers_text(row.target), *ours)
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _on(passport: Mapping[str, Any]) -> str:
    """What was scored, how often each was seen, and what is not as the row means it."""
    scored, views = _part(passport, "list"), _part(passport, "views")
    number, of = scored.get("n"), scored.get("of")
    said = "unknown"
    if isinstance(number, int):
        said = f"{shown(str(scored.get('name')))}, N = {number:,}"
        said += f" of {of:,}" if isinstance(of, int) and of > number else _limited(passport)
    crops = "whole frames" if views.get("whole") else str(views.get("crops", "?"))
    seen = " x ".join([str(views.get("frames", "?")), str(views.get("clips", "?")), crops])
    return "; ".join([said, seen, *_boxes(passport), *_of_weights(passport)])


def _boxes(passport: Mapping[str, Any]) -> Iterator[str]:
    """Which persons were scored, and how that was counted."""
    detections = _part(passport, "detections")
    if not detections:
        return
    name = _evaluated(passport).get("boxes_of")
    whose = f"of {shown(name)}" if isinstance(name, str) else "of a file"
    yield f"boxes {whose} from score {shown(str(detections.get('threshold')))}"
    if passport.get("protocol") != DEFAULT_PROTOCOL["ava"]:
        yield f"counted as {shown(str(passport.get('protocol')))}"


def _of_weights(passport: Mapping[str, Any]) -> Iterator[str]:
    """What weights may have seen, what they began with, how far they were trained, what was changed of the recipe."""
    model = _part(passport, "model")
    if _are_texts(unknown := _evaluated(passport).get("unknown")):
        yield f"training samples among them: not known ({', '.join(map(shown, unknown))})"
    if start := model.get("start"):
        yield f"from {shown(str(start))}"
    if at := model.get("unfinished"):
        yield f"not finished: {shown(str(at))}"
    changed = model.get("changed")
    if _are_texts(changed):
        yield f"changed: {', '.join(map(shown, changed))}"
    elif changed is None and "backbone" not in model:
        yield "changed: not known"


def _limited(passport: Mapping[str, Any]) -> str:
    """That not all samples of a split were evaluated."""
    evaluated = _evaluated(passport)
    clips, of = evaluated.get("clips"), evaluated.get("of")
    if isinstance(clips, int) and isinstance(of, int) and clips < of:
        return f" ({clips:,} of {of:,} clips)"
    return ""


def _part(passport: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = passport.get(name)
    return found if isinstance(found, Mapping) else {}


def _are_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and bool(value) and all(isinstance(x, str) for x in value)
