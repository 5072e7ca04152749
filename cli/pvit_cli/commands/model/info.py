"""`pvit info`: what a model is and what it costs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from pvit_cli.options import Json
from pvit_cli.output import console, new_table, print_json, say
from pvit_data.errors import UsageError
from pvit_data.words import did_you_mean


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("info")(info)


def info(
    name: Annotated[str, typer.Argument(help="A backbone's name, or what --model takes.")] = "",
    model: Annotated[
        str, typer.Option("--model", help="A run's folder, an exported folder, or a Hub id.")
    ] = "",
    classes: Annotated[
        int, typer.Option(min=1, help="Action classes of a backbone given by name.")
    ] = 400,
    tasks: Annotated[
        str,
        typer.Option(help="Tasks of a backbone given by name: depth,normal,segm (of 41 ids),..."),
    ] = "",
    table: Annotated[
        bool,
        typer.Option(
            "--table",
            help="All backbones, or those of NAME,NAME, side by side; a step of each is timed.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what a model is and costs: parameters, GFLOPs, memory, token grids; of a run also how it ended.

    Of a backbone also which published weights load into it, where they are had and under which licence.
    Examples: pvit info mvitv2_s --tasks depth,normal,segm,pose3d,boxes; pvit info RUN; pvit info --table.
    """
    from pvit_model.backbones import backbone_names

    where = model or name
    if table:
        _table(_listed(where) or backbone_names(), classes, as_json)
    elif not where:
        raise UsageError(
            f"pvit info needs a model: a run's folder, or one of {', '.join(backbone_names())}"
        )
    elif where in backbone_names():
        _backbone_info(where, classes, _listed(tasks), as_json)
    else:
        _check_name(where, backbone_names())
        _run_info(where, as_json)


def _listed(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _check_name(where: str, backbones: list[str]) -> None:
    """Refuses a word that is neither a folder nor a Hub id, with the backbones that there are."""
    if "/" not in where and not Path(where).exists():
        raise UsageError(
            f"no backbone and no folder '{where}'{did_you_mean(where, backbones) or '.'} "
            f"Backbones: {', '.join(backbones)}; or give a run's folder, an exported one, or a Hub id 'owner/name'"
        )


def _table(names: list[str], classes: int, as_json: bool) -> None:
    from pvit_model.backbones import DEFAULT, backbone_names
    from pvit_model.reporting.compare import compare

    known = backbone_names()
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or "."
            raise UsageError(f"no backbone '{name}'{hint} Known: {', '.join(known)}.")
    titles = ("backbone", "clip", "parameters", "GFLOPs", "kept MiB", "step", f"over {DEFAULT}")
    shown, rows = new_table(*titles, left=titles[:2]), []
    for row in compare(names, classes):
        found = row.info
        rows.append({**asdict(found), "step_s": row.step_s, "relative": row.relative})
        shown.add_row(
            found.name,
            "x".join(map(str, found.clip)),
            f"{found.train_parameters / 1e6:.2f} M",
            f"{found.test_gflops:.1f}",
            f"{found.saved_mib:.0f}",
            f"{row.step_s:.2f} s",
            f"{row.relative:.2f}",
        )
        say(f"{found.name}: {row.step_s:.2f} s", stderr=True)
    print_json(rows) if as_json else console().print(shown)


def _backbone_info(name: str, classes: int, tasks: list[str], as_json: bool) -> None:
    from pvit_data.tasks.table import target_specs
    from pvit_model.config import make_config
    from pvit_model.network.info import describe

    # Some space: without one, a head with an output per label space has nothing to count.
    by_space = any(spec.by_space for spec in target_specs(tasks))
    spaces = {"nyu40": 41} if by_space else {}
    found = describe(
        make_config(backbone=name, num_classes=classes, tasks=tuple(tasks), segm_spaces=spaces)
    )
    if as_json:
        print_json(asdict(found))
    else:
        say(*str(found).splitlines(), *found.weights_lines())


def _run_info(model: str, as_json: bool) -> None:
    from pvit_model.network.info import describe
    from pvit_model.training.build import parameter_counts
    from pvit_model.using.loading import load_model, run_facts

    network, inference = load_model(model)
    clip = inference.clip
    costs = describe(network.config, (clip.num_frames, *clip.size))
    facts: dict[str, Any] = {
        "recipe": inference.recipe,
        "backbone": network.config.backbone,
        "clip": {
            "frames": clip.num_frames,
            "size": list(clip.size),
            "sampler": clip.sampler(clip.downstream),
        },
        "tasks": list(inference.tasks),
        "downstream": clip.downstream,
        "classes": len(inference.action.classes) if inference.action else 0,
        "label_spaces": {name: len(space.classes) for name, space in inference.spaces.items()},
        "parameters": parameter_counts(network),
        **run_facts(model),
    }
    if as_json:
        print_json({**facts, "costs": asdict(costs)})
        return
    for name, value in facts.items():
        if name != "report":
            say(f"{name:<14} {_plain(value)}")
    for report in facts.get("report", {}).get("reports", []):
        say(f"{'result':<14} {report['source']} {report['split']}, {report['clips']} clips")
        for target, metrics in report["metrics"].items():
            shown = ", ".join(f"{k} {v:.4g}" for k, v in metrics.items() if v is not None)
            say(f"{'':<16} {target}: {shown}")
    say(*str(costs).splitlines())


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
