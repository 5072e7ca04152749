"""A page per source, in Markdown: what its converter declares, so that it is told once.

`docs/sources/` holds these pages as `pvit-data sources --markdown` and `pvit-data sources NAME --markdown` print them.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from pvit_converters import registry
from pvit_converters.base import Converter, SourceInfo
from pvit_converters.layers import LayerConverter
from pvit_data.sample.rights import Rights

Kind = type[Converter[Any]]
_WORDS = {int: "whole number", float: "number", str: "text", Path: "path", bool: "yes or no"}
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def overview() -> str:
    """The page that lists all sources, sources with pictures before layers."""
    found = [registry.load(name) for name in registry.names()]
    of_layers = [kind for kind in found if issubclass(kind, LayerConverter)]
    sources = [kind for kind in found if kind not in of_layers]
    lines = [
        "# Sources",
        "",
        "What can be converted. Each page says where a source comes from, what its raw files must look like, which "
        "options there are, what its licence allows, and what was checked on real files. `pvit-data sources` lists "
        "them too.",
        "",
        *_rows(("source", "title", "gives", "may be published"), map(_row, sources)),
        "",
        "Layers, made over one of these:",
        "",
        *_rows(("layer", "title", "gives", "may be published"), map(_row, of_layers)),
    ]
    return "\n".join(lines) + "\n"


def page(kind: Kind) -> str:
    """All about one source."""
    info = kind.info
    parts = [
        f"# {info.title}",
        f"`{info.name}`{_over(kind)}. This page is what `pvit-data sources {info.name} --markdown` prints.",
        "\n".join(_rows(("", ""), _facts(info))),
        f"## Get it\n\n{info.obtain}",
        f"## Raw files\n\n```\n{info.tree}\n```",
        f"## Convert\n\n```bash\n{_command(kind)}\n```",
        _options(kind),
        _layers(info.name),
        f"## What was verified\n\n{info.verified}" if info.verified else "",
        f"## Citation\n\n```bibtex\n{info.citation}\n```" if info.citation else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def derived_text(info: SourceInfo) -> str:
    """Whether annotations may be passed on that are made from its pictures, and why."""
    return f"{info.derived}: {info.derived_clause}" if info.derived_clause else info.derived


def _row(kind: Kind) -> tuple[str, ...]:
    info = kind.info
    published = "yes" if info.redistributable else "no"
    return f"[{info.name}]({info.name}.md)", info.title, ", ".join(info.produces), published


def _over(kind: Kind) -> str:
    if not issubclass(kind, LayerConverter):
        return ""
    return f", a layer over [{kind.over}]({kind.over}.md)" if kind.over else ", a layer"


def _facts(info: SourceInfo) -> Iterator[tuple[str, str]]:
    yield "gives", ", ".join(info.produces) or "splits"
    yield "role", info.role
    if info.tasks:
        yield "the paper trains", ", ".join(info.tasks)
    if info.spaces:
        yield "label spaces", "; ".join(f"{name}: {text}" for name, text in info.spaces.items())
    if info.sampler:
        within = f", within `meta.{info.clips_within}`" if info.clips_within else ""
        yield "clips are sampled", f"{info.sampler}{within}"
    yield "licence", info.licence
    yield "converted data may be published", "yes" if info.redistributable else "no"
    for rights, names in _alike(info):
        yield f"of these {', '.join(names)} may be published", _rights(rights)
    yield "annotations made from its pictures may be published", derived_text(info)


def _alike(info: SourceInfo) -> list[tuple[Rights, list[str]]]:
    """Rights of fields that differ from the source's, each with its fields."""
    found: dict[Rights, list[str]] = {}
    for name, rights in info.rights.items():
        found.setdefault(rights, []).append(name)
    return [*found.items()]


def _rights(rights: Rights) -> str:
    """In words."""
    made_by = f" Made by {rights.origin}." if rights.origin else ""
    return f"{rights.public}: {rights.why}{made_by} Licence: {rights.licence}"


def _command(kind: Kind) -> str:
    name = kind.info.name
    needed = " --name NAME" if "name" in kind.Options.model_fields else ""
    base = " --base SHARDS" if issubclass(kind, LayerConverter) else ""
    return f"pvit-data convert {name} ROOT OUT{needed}{base}"


def _options(kind: Kind) -> str:
    fields = kind.Options.model_fields
    if not fields:
        return ""
    rows = ((_flag(n, f), _kind(f), _default(f), f.description or "") for n, f in fields.items())
    text = "Its own options, besides those of every conversion ([converting.md](../converting.md)):"
    return "\n".join([text, "", *_rows(("option", "value", "default", "what it does"), rows)])


def _flag(name: str, field: FieldInfo) -> str:
    opposite = "no-" if field.annotation is bool and field.default else ""
    return f"`--{opposite}{name.replace('_', '-')}`"


def _kind(field: FieldInfo) -> str:
    """What the option may be, in words."""
    annotation: Any = field.annotation
    if annotation is bool:
        return ""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is Literal:
        return ", ".join(map(str, get_args(annotation)))
    if get_origin(annotation) is tuple:
        return f"{_WORDS[get_args(annotation)[0]]}, several times or with commas"
    bounds = [
        f"{word} {getattr(m, key):g}"
        for m in field.metadata
        for key, word in _BOUNDS.items()
        if hasattr(m, key)
    ]
    return ", ".join([_WORDS.get(annotation, annotation.__name__), *bounds])


def _default(field: FieldInfo) -> str:
    if field.annotation is bool:
        return "on" if field.default else "off"
    if field.default is None or field.default in ("", ()):
        return ""
    return f"{field.default:g}" if isinstance(field.default, float) else str(field.default)


def _layers(name: str) -> str:
    """The layers that are made over a source."""
    found = [registry.load(other) for other in registry.names()]
    over = [kind for kind in found if issubclass(kind, LayerConverter) and kind.over == name]
    if not over:
        return ""
    lines = [f"- [{k.info.name}]({k.info.name}.md): {k.info.title}" for k in over]
    return "\n".join([f"## Layers over `{name}`", "", *lines])


def _rows(titles: tuple[str, ...], rows: Any) -> Iterator[str]:
    """A table; what a cell holds does not end it."""
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
