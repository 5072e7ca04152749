"""`pvit-data simulate`: small stand-ins for raw datasets, in their real layout and with exact truth."""

from __future__ import annotations

import inspect
import re
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from pvit_cli.flags import Flag, make_command, optional, source_group
from pvit_cli.options import Json
from pvit_cli.output import print_json, say
from pvit_cli.progress import progress


def register(app: typer.Typer) -> None:
    """Adds the command."""
    group = typer.Typer(
        cls=source_group(_names, _build), no_args_is_help=True, rich_markup_mode="markdown"
    )
    text = "Write a small simulated raw dataset in a source's real layout: SOURCE OUT [options]."
    app.add_typer(group, name="simulate", help=text)


def _names() -> list[str]:
    from pvit_converters import simulate

    return simulate.names()


def _build(name: str) -> Any:
    from pvit_converters import simulate

    simulator = simulate.load(name)
    texts = _argument_texts(inspect.getdoc(simulator.simulate) or "")
    hints = get_type_hints(simulator.simulate)
    flags = [
        Flag(key, optional(hints[key], default), default, texts.get(key, ""), f"Options of {name}")
        for key, default in simulator.options.items()
    ]
    return make_command(name, partial(_simulate, name), flags, simulator.about)


def _argument_texts(doc: str) -> dict[str, str]:
    """What a docstring's `Args:` section says about each argument."""
    section = doc.partition("Args:\n")[2].partition("\n\n")[0]
    texts: dict[str, str] = {}
    for names, text in re.findall(r"^    (\w[\w, ]*): (.*(?:\n {8}.*)*)", section, re.MULTILINE):
        texts |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return texts


def _simulate(
    source: str,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="folder to write; new or empty")],
    values: dict[str, Any],
    samples: Annotated[
        int | None, typer.Option(help="number of videos or images; default: the preset's")
    ] = None,
    seed: Annotated[int, typer.Option(help="the same seed gives the same bytes")] = 0,
    preset: Annotated[
        Literal["tiny", "small", "format"], typer.Option(help="size and number")
    ] = "small",
    workers: Annotated[int, typer.Option(help="processes", min=1)] = 1,
    truth: Annotated[
        Path | None, typer.Option(help="folder for the exact truth (arrays, JSON); default: none")
    ] = None,
    as_json: Json = False,
) -> None:
    from pvit_converters.simulate import simulate

    with progress(f"simulate {source}") as update:
        tree = simulate(source, out, samples, seed, preset, update, workers, truth, **values)
    if as_json:
        print_json(
            {
                "root": str(tree.root),
                "samples": tree.samples,
                "splits": tree.splits,
                "notes": list(tree.notes),
            }
        )
        return
    splits = ", ".join(f"{n} {split}" for split, n in tree.splits.items())
    say(f"{tree.root}: {tree.samples} samples{f' ({splits})' if splits else ''}")
    for note in tree.notes:
        say(f"  {note}")
    for step in tree.convert or (f"{source} {tree.root} OUT",):
        say(f"next: pvit-data convert {step}")
