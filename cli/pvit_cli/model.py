"""`pvit`: train, evaluate and use PViT models. This file parses, calls and prints; the work is in `pvit_model`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pvit_cli.common import console, new_app, print_json, run
from pvit_data.errors import UsageError

app = new_app(
    "Train one video model on many partially annotated datasets, then evaluate it and use it on any video.\n\n"
    "A typical session:\n\n"
    "  pvit train --shards SSV2 --shards HYPERSIM --recipe pvit --out RUN\n\n"
    "  pvit eval --model RUN --shards SSV2 --shards HYPERSIM\n\n"
    "  pvit predict video.mp4 --model RUN --out OUT"
)

Shards = Annotated[
    list[str],
    typer.Option(
        "--shards",
        help="Folder or URL with shards, written by `pvit-data convert`; give one --shards each.",
    ),
]
ModelOption = Annotated[
    str, typer.Option("--model", help="A run's folder, an exported folder, or a Hub id owner/name.")
]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1, ...")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"--device '{name}' cannot be used ({str(error).splitlines()[0]}); try --device cpu"
        ) from None
    return name


@app.command()
def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Show this recipe in full, as YAML, ready to edit.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the training recipes, or show one.

    A recipe is one YAML file; `pvit recipes pvit > mine.yaml` starts your own, used with --recipe mine.yaml. A file may
    say `base: pvit` and state only what differs.
    """
    from pvit_model.recipes.loading import load_recipe, recipe_names

    if name is not None:
        config = load_recipe(name)
        print_json(config.model_dump(mode="json")) if as_json else print(config.to_yaml(), end="")
        return
    found = {n: load_recipe(n) for n in recipe_names()}
    if as_json:
        print_json({n: c.about for n, c in found.items()})
        return
    table = Table(box=None, padding=(0, 2), show_header=False)
    for n, config in found.items():
        table.add_row(f"[bold]{n}[/bold]", escape(config.about))
    console().print(table)


@app.command()
def train(
    shards: Shards,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder of the run: configuration, log, checkpoints, model, report.html."
        ),
    ],
    recipe: Annotated[
        str, typer.Option(help="Name of a recipe (`pvit recipes`), or a YAML file.")
    ] = "pvit",
    downstream: Annotated[
        str | None,
        typer.Option(
            help="Source whose actions are learned; all others are auxiliary. Default: the recipe's."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one value of the recipe, e.g. --set optim.lr=1e-4."),
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Continue the run in --out from its last good checkpoint.")
    ] = False,
    fast_dev_run: Annotated[
        bool, typer.Option(help="Two steps and tiny validations: does everything work?")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Print the plan and stop.")] = False,
) -> None:
    """Train a model on the sources of one or more shard folders.

    The folders' manifests say which sources there are and what each is annotated with; the plan is printed first.
    Ctrl-C or SIGTERM saves a checkpoint and exits with 75; the same command with --resume goes on exactly there.
    Several GPUs: torchrun --nproc-per-node 8 -m pvit_cli.model train ...
    """
    from pvit_model.recipes.loading import load_recipe
    from pvit_model.recipes.plan import make_plan, plan_lines

    changes = list(settings or [])
    if downstream is not None:
        changes.append(f"clip.downstream={downstream}")
    plan = make_plan(load_recipe(recipe, changes), shards)
    if dry_run:
        from pvit_model.training.build import build_network, parameter_counts
        from pvit_model.training.memory import memory_line

        weights: list[str] = []
        network = build_network(plan, weights.append)
        print(
            "\n".join(
                plan_lines(
                    plan, parameter_counts(network), out, memory_line(network, plan), weights
                )
            )
        )
        return
    from pvit_model.training.trainer import run_plan

    run_plan(plan, out, console(), resume=resume, fast_dev_run=fast_dev_run)


@app.command(name="eval")
def evaluate(
    model: ModelOption,
    shards: Shards,
    source: Annotated[
        str | None,
        typer.Option(help="Only this source. Default: all that the model has a task for."),
    ] = None,
    split: Annotated[str, typer.Option(help="Which samples: train, val or test.")] = "val",
    reference_split: Annotated[
        str,
        typer.Option(
            help="Samples that the constant predictor is fitted on; '' leaves the comparison out."
        ),
    ] = "train",
    limit: Annotated[
        int, typer.Option(min=0, help="At most so many clips per source, evenly spread; 0: all.")
    ] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Loader processes.")] = 0,
    device: Device = "auto",
    out: Annotated[
        Path | None, typer.Option(help="Also write the JSON document to this file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Evaluate a model: each task's metrics, beside those of the best constant predictor.

    Actions: softmax summed over the views of a video (SSv2: 1 clip x 3 crops), top-1 and top-5, the share of the
    majority class and the binomial standard error at that share. Depth in metres over valid pixels, normals in degrees,
    segmentation as mean IoU, pose in millimetres, boxes as IoU.
    """
    from pvit_model.using.evaluate import evaluate as evaluate_model

    reports = evaluate_model(
        model,
        shards,
        source,
        split,
        reference_split or None,
        limit=limit,
        workers=workers,
        device=_device(device),
    )
    document = {"model": model, "reports": [r.to_json() for r in reports]}
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    if as_json:
        print_json(document)
        return
    for report in reports:
        console().print(_table(report))


def _table(report: Any) -> Table:
    table = Table(
        box=None,
        padding=(0, 2),
        title=f"{report.source} {report.split}, {report.clips} clips",
        title_justify="left",
    )
    for head in ("target", "metric", "value", "constant", "ratio"):
        table.add_column(head, justify="left" if head in ("target", "metric") else "right")
    ratios = report.ratios()
    for target, values in report.metrics.items():
        fixed = report.constant.get(target, {})
        for name, value in values.items():
            ratio = ratios.get(target, {}).get(name)
            constant = f"{fixed[name]:.4g}" if name in fixed else ""
            table.add_row(
                target, name, f"{value:.4g}", constant, "" if ratio is None else f"{ratio:.3f}x"
            )
    return table


@app.command()
def predict(
    video: Annotated[str, typer.Argument(help="Any video file: mp4, webm, avi.")],
    model: ModelOption,
    out: Annotated[
        Path, typer.Option(help="Folder for predictions.json, overlay.mp4 and overlay.png.")
    ],
    top: Annotated[int, typer.Option(min=1, help="Number of classes to list.")] = 5,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Predict a video's action, depth, normals, segmentation, pose and boxes: whatever the model has a head for.

    The clip is sampled and cut as in the model's own evaluation; the overlay shows what it saw.
    """
    from pvit_model.using.predict import predict as run_prediction

    prediction = run_prediction(video, model, out, top=top, device=_device(device))
    if as_json:
        print_json(prediction.to_json())
        return
    for action in prediction.actions:
        print(f"{100 * action.probability:6.2f} %  {action.name}")
    if prediction.outputs:
        print(f"outputs    {', '.join(prediction.outputs)}")
    for name in ("predictions.json", "overlay.mp4", "overlay.png"):
        print(f"wrote      {out / name}")


@app.command()
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
    as_json: Json = False,
) -> None:
    """Say what a model is and costs: parameters, GFLOPs, memory, token grids; of a run also how it ended.

    Examples: pvit info mvitv2_s --tasks depth,normal,segm,pose3d,boxes; pvit info RUN.
    """
    from pvit_model.backbones import backbone_names

    where = model or name
    if not where:
        raise UsageError(
            f"pvit info needs a model: a run's folder, or one of {', '.join(backbone_names())}"
        )
    if where in backbone_names():
        _backbone_info(where, classes, [task for task in tasks.split(",") if task], as_json)
    else:
        _run_info(where, as_json)


def _backbone_info(name: str, classes: int, tasks: list[str], as_json: bool) -> None:
    from dataclasses import asdict

    from pvit_model.config import make_config
    from pvit_model.network.info import describe

    spaces = (
        {"nyu40": 41} if "segm" in tasks else {}
    )  # some space: without one the head has no output to count
    found = describe(
        make_config(backbone=name, num_classes=classes, tasks=tuple(tasks), segm_spaces=spaces)
    )
    if as_json:
        print_json(asdict(found))
    else:
        print(found)


def _run_info(model: str, as_json: bool) -> None:
    from dataclasses import asdict

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
        "label_spaces": {name: len(space.classes) for name, space in inference.segm.items()},
        "parameters": parameter_counts(network),
        **run_facts(model),
    }
    if as_json:
        print_json({**facts, "costs": asdict(costs)})
        return
    for name, value in facts.items():
        if name != "report":
            print(f"{name:<14} {_plain(value)}")
    for report in facts.get("report", {}).get("reports", []):
        print(f"{'result':<14} {report['source']} {report['split']}, {report['clips']} clips")
        for target, metrics in report["metrics"].items():
            shown = ", ".join(f"{k} {v:.4g}" for k, v in metrics.items() if v is not None)
            print(f"{'':<16} {target}: {shown}")
    print(costs)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


@app.command()
def export(
    model: ModelOption,
    out: Annotated[
        Path,
        typer.Argument(
            help="Folder to write config.json, inference.json and model.safetensors to."
        ),
    ],
    drop_heads: Annotated[
        bool, typer.Option(help="Leave out the auxiliary heads: prompts and actions only.")
    ] = False,
) -> None:
    """Write a model as a folder of its own, without optimiser and log: what `--model` takes, ready to share.

    With --drop-heads the network is the paper's test-time one: prompts kept, auxiliary heads gone.
    """
    from pvit_model.using.export import export_model

    size = export_model(model, out, drop_heads=drop_heads)
    print(f"wrote {out} ({size / 2**20:.1f} MiB)")


def main(argv: Sequence[str] | None = None) -> int:
    """The `pvit` command; returns the exit code."""
    return run(app, argv, "pvit")


if __name__ == "__main__":
    raise SystemExit(main())
