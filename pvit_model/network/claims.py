"""What a configuration claims, found out before anything is allocated: the network on PyTorch's meta device.

A stranger may ask for millions of classes, or for gigabytes of parameters. Built on the meta device it
costs neither memory nor time, and is stopped where it makes more parameters than it may.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from pvit_data.errors import ConfigError, SourceError
from pvit_data.words import memory_text, short

MOST_TENSORS = 50_000
"""Parameters and buffers of a network that nobody has counted yet; the largest published ones have some thousand."""
Shapes = Mapping[str, tuple[int, ...]]


class _TooManyError(Exception):
    """More tensors than a network may have."""


def shapes_of(make: Callable[[], nn.Module], where: str, most: int = MOST_TENSORS) -> Shapes:
    """The shapes of a network's parameters and buffers, without building it.

    Args:
        make: builds it on the device of the context.
        where: its configuration comes from, for messages.
        most: tensors that it may have.

    Raises:
        ConfigError: if it has more, or its values fit no network.
    """
    made = 0

    def count(*_: object) -> None:
        nonlocal made
        made += 1
        if made > 2 * most + 100:  # some are registered twice while a network is built
            raise _TooManyError

    hooks = [
        register_module_parameter_registration_hook(count),
        register_module_buffer_registration_hook(count),
    ]
    try:
        with torch.device("meta"):
            model = make()
    except _TooManyError:
        raise ConfigError(
            f"{where}: describes a network of more than {most:,} tensors; it belongs to another file"
        ) from None
    except UNUSABLE as error:
        first = (str(error).splitlines() or [""])[0]
        raise ConfigError(
            f"{where}: describes no network ({type(error).__name__}: {first[:200]})"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


UNUSABLE = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RuntimeError)
"""What Python and PyTorch raise for sizes that are negative, of a wrong type or beyond 64 bits."""


def check_shapes(wanted: Shapes, given: Shapes, where: str) -> None:
    """Refuses weights that are not those of a configuration.

    Args:
        wanted: by the configuration.
        given: by the header of the weights.
        where: both come from, for the message.

    Raises:
        SourceError: naming the first tensor that differs.
    """
    for name in sorted({*wanted, *given}):
        if wanted.get(name) != given.get(name):
            has, wants = (_said(shapes.get(name)) for shapes in (given, wanted))
            raise SourceError(
                f"weights and config.json in '{where}' do not belong together: tensor {short(name, 80)} {has} in the "
                f"weights and {wants} by the configuration"
            )


def _said(shape: tuple[int, ...] | None) -> str:
    return "does not exist" if shape is None else f"has shape {short(shape, 80)}"


def check_memory(wanted: Shapes, where: str) -> None:
    """Refuses a network whose parameters alone fill the machine's memory.

    Raises:
        ConfigError: with both sizes.
    """
    size = sum(4 * _product(shape) for shape in wanted.values())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise ConfigError(
            f"{where}: the network's parameters take {memory_text(size)}, this machine has {memory_text(memory)}"
        )


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for side in shape:
        product *= side
    return product
