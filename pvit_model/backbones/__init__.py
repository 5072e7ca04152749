"""Backbones by name: the built-in ones and those of other packages, through the entry point `pvit.backbones`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvit_data.errors import UsageError
from pvit_model.plugins import BACKBONES

if TYPE_CHECKING:
    from pvit_model.backbones.base import Backbone

DEFAULT = "mvitv2_s"
"""The paper's."""


def backbone_names() -> list[str]:
    """Names that `build_backbone` knows, sorted."""
    return BACKBONES.names()


def build_backbone(name: str, **options: Any) -> Backbone:
    """A fresh backbone (see `pvit_model.backbones.base.Backbone`).

    Args:
        options: keyword options of the backbone's own function, such as `clip=(16, 224, 224)`.

    Raises:
        UsageError: if the name is unknown, an option does not exist, or what is registered is no backbone, or one that
            contradicts itself.
    """
    from pvit_model.backbones.base import Backbone
    from pvit_model.backbones.checks import check_definition

    make = BACKBONES.load(name)
    try:
        module = make(**options)
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise UsageError(
            f"backbone '{name}' does not take the options {given[:120]}: {error}"
        ) from error
    if not isinstance(module, Backbone):
        raise UsageError(
            f"backbone '{name}' is a {type(module).__name__}; "
            "expected a subclass of pvit_model.Backbone"
        )
    check_definition(name, module)
    return module
