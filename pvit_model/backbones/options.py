"""Options of a backbone, held against the types of the dataclass that describes it, the one place of what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from pvit_data.words import did_you_mean, first_problem

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")

MAX_DEPTH = 512
Count = Annotated[int, Field(ge=1, le=1 << 31)]
"""A size or a number of things."""
Depth = Annotated[int, Field(ge=1, le=MAX_DEPTH)]
"""Blocks."""
Layer = Annotated[int, Field(ge=0, lt=MAX_DEPTH)]
"""A block, from 0."""
Ratio = Annotated[float, Field(ge=0.125, le=64)]
"""A width over another one."""
Rate = Annotated[float, Field(ge=0, lt=1)]
"""What share is dropped."""
Factor = Annotated[float, Field(gt=0, le=1000)]


def with_options(base: C, options: Mapping[str, Any]) -> C:
    """The configuration with some of its fields replaced.

    Args:
        base: a dataclass.
        options: by the names of its fields; lists stand for tuples.

    Raises:
        ValueError: naming an option that does not exist, or the value that one does not take.
    """
    if unknown := [name for name in options if name not in _model(type(base)).model_fields]:
        known = _model(type(base)).model_fields
        raise ValueError(
            f"there is no option '{unknown[0]}'{did_you_mean(unknown[0], known)}; there are {', '.join(known)}"
        )
    given = {name: tuple(v) if isinstance(v, list) else v for name, v in options.items()}
    try:
        found = _model(type(base)).model_validate(given)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from error
    return replace(base, **{name: getattr(found, name) for name in given})


def check_heads(width: int, head_width: int) -> None:
    """Refuses widths that heads do not share evenly.

    Raises:
        ValueError: saying what was expected.
    """
    if width % head_width:
        raise ValueError(f"width {width}: expected a multiple of head_width, {head_width}")


@cache
def _model(kind: type) -> type[BaseModel]:
    fields = {
        name: (hint, None) for name, hint in get_type_hints(kind, include_extras=True).items()
    }
    made: type[BaseModel] = create_model(
        kind.__name__, __config__=ConfigDict(strict=True, extra="forbid"), **fields
    )  # type: ignore[call-overload]
    return made
