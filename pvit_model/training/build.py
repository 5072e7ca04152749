"""Building the network that a plan asks for, from scratch or from given weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from pvit_data.errors import ConfigError, FormatError
from pvit_data.sample.labels import LabelSpace
from pvit_data.words import short
from pvit_model.config import PViTConfig
from pvit_model.network.claims import check_memory, shapes_of
from pvit_model.network.class_rows import RowNames
from pvit_model.network.create import backbone_of, create_model
from pvit_model.network.inference import Inference
from pvit_model.network.published import (
    check_depth,
    check_share,
    fill,
    fitted_to,
    load_backbone_checkpoint,
)
from pvit_model.network.pvit import PViT
from pvit_model.network.save import WEIGHTS, read_config
from pvit_model.network.tensor_file import load_tensors
from pvit_model.recipes.announcement import plan_lines
from pvit_model.recipes.plan import Plan, label_spaces
from pvit_model.runs.seen import seen_before
from pvit_model.training.engine import known_faults
from pvit_model.training.memory import memory_line
from pvit_model.training.optim import BACKBONE
from pvit_model.training.sharded import recompute_blocks
from pvit_model.using.loading import find_model


def build_network(
    plan: Plan, note: Callable[[str], object] = lambda text: None, started: bool = False
) -> PViT:
    """The network of a plan, with its starting weights.

    Args:
        started: a checkpoint of this run will be loaded, so weights to start from are not asked for.
        note: told in a line what was taken from given weights, and what was not.

    Raises:
        ConfigError: if `model.options` does not fit the network.
        UsageError, FormatError: if weights to start from are missing or unusable.
    """
    config = plan.config.model
    where = f"model.options {short(config.options)}"
    if config.init_from and config.checkpoint and not started:
        raise ConfigError(
            f"model.init_from '{config.init_from}' and model.checkpoint '{config.checkpoint}' are both given, but a "
            "network starts from one of them; leave one empty, --set \"model.checkpoint=''\""
        )

    def make() -> PViT:
        return create_model(config.name, **plan.model_arguments())

    check_memory(shapes_of(make, where), where)
    network = make()
    if config.init_from and not started:
        note(_start_from(network, plan))
    elif config.checkpoint and not started:
        report = load_backbone_checkpoint(
            network, config.checkpoint, allow_partial=config.allow_partial, classes=plan.action
        )
        note(f"weights    {config.checkpoint}: {report.line()}")
    elif plan.config.pretrained and not started:
        note(
            f"weights    NONE GIVEN: starts from RANDOM weights, but the recipe means {plan.config.pretrained}; "
            "give model.checkpoint=FILE or model.init_from=RUN"
        )
    if not started:
        for text in seen_before(plan):
            note(f"SEEN       {text}")
    if config.finetune == "head":
        network.freeze_all_but_head()
        note(
            "trained    the action head alone (model.finetune=head); everything else stays as it starts"
        )
    if plan.config.run.checkpoint_activations:
        recompute_blocks(network)
    return network


def _start_from(network: PViT, plan: Plan) -> str:
    """Copies every weight that fits: class by class, task by task, positions resized; says what did not."""
    config = plan.config.model
    where = f"model.init_from '{config.init_from}'"
    folder = find_model(config.init_from)
    given = load_tensors(folder / WEIGHTS)
    own = network.state_dict()
    rows = _rows(network, plan, folder)
    source = backbone_of(read_config(folder))
    fitted = {
        name: fitted_to(
            name.removeprefix(BACKBONE),
            given.get(name),
            value,
            network.backbone if name.startswith(BACKBONE) else None,
            rows.get(name),
            source,
        )
        for name, value in own.items()
    }
    filled = [name for name, value in fitted.items() if value is not None]
    if not filled:
        raise FormatError(f"{where}: none of its {len(given)} weights fits this network")
    if not config.allow_partial:
        backbone = {name: value for name, value in own.items() if name.startswith(BACKBONE)}
        check_share(where, backbone, [name for name in filled if name in backbone])
        check_depth(where, backbone, [name for name in given if name not in own])
    report = fill(where, own, given, fitted, rows)
    return f"weights    {config.init_from}: {report.line()}"


def _rows(network: PViT, plan: Plan, folder: Path) -> dict[str, RowNames]:
    """What the rows of parameters stand for, in the given network and in this one: classes, or tasks."""
    theirs, config = Inference.load(folder), read_config(folder)
    found = dict.fromkeys(("head.weight", "head.bias"), (theirs.action, plan.action))
    classes = label_spaces(plan.sources)
    for label in set(classes) & set(theirs.label_spaces):
        for name in network.heads[label].state_dict():
            given, own = theirs.label_spaces[label], classes[label]
            found[f"heads.{label}.{name}"] = replace(given, first=0), replace(own, first=0)
    heads = tuple(f"heads.{task}." for task in network.by_space)
    for name in network.state_dict():
        for space in plan.spaces:
            if name.startswith(heads) and f".{space}." in name:
                found[name] = theirs.spaces.get(space), plan.spaces[space]
    if network.config.num_prompts and network.config.prompts == config.prompts == "task":
        found["prompts"] = _prompt_rows(config), _prompt_rows(network.config)
    return found


def _prompt_rows(config: PViTConfig) -> LabelSpace:
    each = range(config.prompts_per_task)
    return LabelSpace("prompts", tuple(f"{task}.{i}" for task in config.tasks for i in each))


def announcement(
    network: PViT, plan: Plan, out: Path, weights: Sequence[str], ranks: int = 1
) -> list[str]:
    """What a run is about to do, in lines, with what to beware of.

    Args:
        out: the run's folder.
        weights: what `build_network` noted.
        ranks: processes.
    """
    faults = known_faults(plan.config.run.precision)
    memory = memory_line(network, plan, ranks)
    lines = plan_lines(plan, parameter_counts(network), out, memory, weights)
    return lines + [f"WARNING    {fault}" for fault in faults]


def parameter_counts(network: nn.Module) -> dict[str, int]:
    """Parameters in all, trained, and left when the auxiliary heads are dropped."""
    named = dict(network.named_parameters())
    heads = sum(p.numel() for n, p in named.items() if n.startswith("heads."))
    total = sum(p.numel() for p in named.values())
    return {
        "parameters": total,
        "trained": sum(p.numel() for p in named.values() if p.requires_grad),
        "at test time": total - heads,
    }
