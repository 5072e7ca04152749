"""Training by a recipe's name: `pvit_model.train`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from pvit_model.recipes.config import TrainConfig
from pvit_model.recipes.plan import make_plan
from pvit_model.runs.resume import resolved
from pvit_model.training.progress import TrainResult
from pvit_model.training.trainer import run_plan


def train(
    recipe: str | TrainConfig | None,
    shards: Sequence[str],
    out: str | Path,
    *,
    downstream: str | None = None,
    settings: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    fast_dev_run: bool = False,
    allow_changed_data: bool = False,
    console: Console | None = None,
) -> TrainResult:
    """Trains a model on the sources of one or more folders of shards.

    Args:
        recipe: name of a recipe, path of a YAML file, or a configuration; None: that of the run that is resumed.
        shards: folders or URLs, as written by `pvit-data convert`; none: those of the run that is resumed.
        out: folder of the run: configuration, log, checkpoints, the best model, report.html.
        downstream: source whose actions are learned; default: the recipe's.
        settings: changes to the recipe, each `"a.b=c"`.
        resume: continue from the newest checkpoint in `out`. It may be given more or fewer steps or epochs.
        overwrite: replace what is left in `out` of a run that ended before its first checkpoint.
        fast_dev_run: two steps and tiny validations, to see that everything works.
        allow_changed_data: resume although a source was changed since the run began; logged with both hashes.
        console: where progress is shown; default: nowhere.

    Returns:
        steps done, the best step, and the last validation: one report per source.

    Raises:
        ConfigError: if the recipe has an unknown key or an unusable value.
        UsageError: if recipe and shards do not fit each other, or `out` holds another run.
        Interrupted: if a signal asked to stop; a checkpoint was saved, `resume=True` goes on.

    Example:
        >>> settings = ["optim.steps=2", "data.workers=0", "run.eval_clips=4"]
        >>> result = train("demo", shards, "RUN", downstream="real", settings=settings)
        >>> result.steps, [report.source for report in result.reports]
        (2, ['real', 'people', 'scenes'])
    """
    changes = list(settings)
    if downstream is not None:
        changes.append(f"clip.downstream={downstream}")
    config, urls = resolved(recipe, shards, Path(out), changes, resume)
    plan = make_plan(config, urls)
    return run_plan(plan, Path(out), console, resume, fast_dev_run, allow_changed_data, overwrite)
