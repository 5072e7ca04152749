"""Every key of a recipe with its meaning, type and default, from the models that read recipes: a recipe with comments.

`keys` lists them, `commented` writes them as YAML, which is itself the recipe of all defaults. What a run takes from
its backbone stands there in comments.
"""

from __future__ import annotations

import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pvit_model.recipes.config import OF_THE_BACKBONE, TrainConfig, section_of

COLUMNS = 100
FROM_IT = "in a run the backbone's own, where no recipe states it"
_WORDS = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "true or false",
    type(None): "null",
}
_MANY = {"whole number": "whole numbers", "number": "numbers", "text": "texts"}
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "max_length": "at most"}
_ENTRY = re.compile(r"^    (\w+(?:, \w+)*): (.*(?:\n {8}.*)*)", re.MULTILINE)


class Key(NamedTuple):
    """A key, or a section of keys.

    Args:
        path: dotted.
        about: what it means, in a sentence.
        kind: what it may be, in words; "" of a section.
        default: plain value; None of a section.
    """

    path: str
    about: str
    kind: str = ""
    default: Any = None


def keys(model: type[BaseModel] = TrainConfig, prefix: str = "") -> Iterator[Key]:
    """All keys in the order of the model, each section before its own."""
    told = told_in_docstring(model)
    defaults = model().model_dump(mode="json")
    for name, info in model.model_fields.items():
        path = prefix + name
        if section := section_of(info.annotation):
            yield Key(path, (inspect.getdoc(section) or "").partition("\n")[0])
            yield from keys(section, f"{path}.")
        else:
            about = info.description or told.get(name, "")
            if path in OF_THE_BACKBONE:
                about = f"{about.rstrip('.')}; {FROM_IT}"
            yield Key(path, about, _kind(info), defaults[name])


def told_in_docstring(model: type[BaseModel]) -> dict[str, str]:
    """What the `Args` of a model's docstring say of each."""
    _, _, text = (inspect.getdoc(model) or "").partition("Args:\n")
    return {
        name: " ".join(told.split())
        for names, told in _ENTRY.findall(text)
        for name in names.split(", ")
    }


def commented() -> str:
    """The recipe of all defaults, each key below a comment that explains it."""
    lines = [
        "# Every key of a recipe, with its default. A file states only those that differ from its `base`,",
        "# or from these; on the command line the same is said by --set optim.lr=1e-4.",
        "",
        "# base: pvit   (another recipe, by name or as a path, that this one starts from)",
    ]
    for key in keys():
        *above, name = key.path.split(".")
        indent = "  " * len(above)
        if not key.kind:
            lines += ["", *_comment(key.about, indent), f"{indent}{name}:"]
            continue
        lines += _comment(f"{key.about.rstrip('.')} [{key.kind}]", indent)
        lines.append(f"{indent}{_unstated(key.path)}{name}: {_plain(key.default)}")
    return "\n".join(lines) + "\n"


def _unstated(path: str) -> str:
    """Stated, the default of such a key would hold for a backbone that has another."""
    return "# " if path in OF_THE_BACKBONE else ""


def _comment(text: str, indent: str) -> list[str]:
    start = f"{indent}# "
    return textwrap.wrap(
        text, COLUMNS, initial_indent=start, subsequent_indent=start, break_on_hyphens=False
    )


def _plain(value: Any) -> str:
    """A value as YAML on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _kind(info: FieldInfo) -> str:
    """Type and bounds, in words."""
    return ", ".join([_in_words(info.annotation), *_bounds(info)])


def _bounds(info: FieldInfo) -> list[str]:
    return [
        f"{words} {getattr(bound, name):,}"
        for bound in info.metadata
        for name, words in _BOUNDS.items()
        if hasattr(bound, name)
    ]


def _in_words(kind: Any) -> str:
    """A type.

    >>> _in_words(float | None), _in_words(dict[str, tuple[str, ...]]), _in_words(Literal["fp32", "bf16"])
    ('number or null', 'for each name: list of texts', 'fp32 or bf16')
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return ", ".join([_in_words(inner[0]), *_bounds(inner[1])])
    if origin is Literal:
        return " or ".join(map(str, inner))
    if origin in (types.UnionType, typing.Union):
        return " or ".join(map(_in_words, inner))
    if origin is dict:
        return f"for each name: {_in_words(inner[1])}"
    if origin is tuple:
        of = _in_words(inner[0])
        of = _MANY.get(of, of)
        return f"list of {of}" if inner[1] is Ellipsis else f"{len(inner)} {of}"
    if section_of(kind):
        return f"keys {', '.join(kind.model_fields)}"
    return _WORDS.get(kind, "any value")
