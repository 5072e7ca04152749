"""Building the network that a plan asks for, from scratch or from given weights."""

from __future__ import annotations

from collections.abc import Callable

from safetensors.torch import load_file
from torch import nn

from pvit_data.errors import ConfigError, FormatError, UsageError
from pvit_model.network.create import create_model
from pvit_model.network.published import LoadReport, check_share, load_backbone_checkpoint
from pvit_model.network.pvit import PViT
from pvit_model.network.save import WEIGHTS
from pvit_model.recipes.plan import Plan
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
    try:
        network = create_model(config.name, **plan.model_arguments())
    except TypeError as error:  # an option that neither the network nor its backbone has
        raise ConfigError(f"model.options {config.options}: {error}") from None
    if config.init_from and not started:
        note(_start_from(network, config.init_from, config.allow_partial))
    elif config.checkpoint and not started:
        report = load_backbone_checkpoint(
            network, config.checkpoint, allow_partial=config.allow_partial
        )
        note(f"weights    {config.checkpoint}: {report.line()}")
    if plan.config.run.checkpoint_activations:
        recompute_blocks(network)
    return network


def _start_from(network: PViT, where: str, allow_partial: bool) -> str:
    """Copies every weight that has the same name and shape; says what did not fit."""
    try:
        given = load_file(find_model(where) / WEIGHTS)
    except UsageError:
        raise
    except Exception as error:
        raise FormatError(f"model.init_from '{where}': weights are unreadable ({error})") from None
    own = network.state_dict()
    fitting = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    if not fitting:
        raise FormatError(
            f"model.init_from '{where}': none of its {len(given)} weights fits this network"
        )
    if not allow_partial:
        check_share(f"model.init_from '{where}'", own, fitting)
    network.load_state_dict(fitting, strict=False)
    report = LoadReport(
        sorted(fitting), [], sorted(set(own) - set(fitting)), sorted(set(given) - set(fitting))
    )
    return f"weights    {where}: {report.line()}"


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
