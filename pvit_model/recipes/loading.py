"""Recipes: the YAML files shipped in `pvit_model/recipes`, each a complete configuration with a name.

The paper's are composed: `ssv2/mt` is `data/ssv2.yaml`, onto it `variant/mt.yaml` (see `_composed`); `mt` alone is
that of SSv2. A small recipe may name another as its `base:` and state only what differs. `A+B` is recipe A with what B
states itself (not its base) laid onto it, but for the data set that A names: `mt+timesformer`, as `base:` too; one of a
data set is A. A path to a YAML file works wherever a name does, so a user's own recipe needs no registration.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from pvit_data.clips.frames import BY_SOURCE
from pvit_data.errors import ConfigError
from pvit_data.scoring.protocols import protocol_of_source
from pvit_data.storage.files import read_regular
from pvit_data.storage.values import MAX_YAML_BYTES, parse_yaml
from pvit_data.tasks.table import LABELS
from pvit_data.words import did_you_mean, short
from pvit_model.recipes.config import (
    TrainConfig,
    check_keys,
    load_mapping,
    merge,
    parse_setting,
)

MAX_BASES = 8
DATA, VARIANT = "data", "variant"
COMMON = "common"
OF_DATA = ("alone", "rows", "auxiliary")
"""What a data set's file has besides a recipe's keys, the last one in `common.yaml` alone."""
USUAL_DATA = "ssv2"
"""The data set of a variant that is named alone."""
ADDED = ("paper", "ours")
"""Lists to which the parts of a composed recipe add; every other value they replace."""
OWN = "own"
"""A variant's key beside a recipe's: tasks of the downstream's own videos, beside those of its list."""
ENDS = (".", "!", "?")

Values = dict[str, Any]


def _folder(name: str = "") -> Any:
    return resources.files("pvit_model") / "recipes" / name


@cache
def _names_in(folder: str) -> tuple[str, ...]:
    found = (f.name for f in _folder(folder).iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml")))


def variant_names() -> tuple[str, ...]:
    """Names of the variants, each of which is a recipe of its own, that of SSv2."""
    return _names_in(VARIANT)


def data_names() -> list[str]:
    """Names of the data sets that recipes are composed of."""
    return [name for name in _names_in(DATA) if "downstream" in _data(name).values.get("clip", {})]


def about_data(name: str) -> str:
    """What a data set is, in a sentence."""
    return str(_data(name).values["about"])


def about_variant(name: str) -> str:
    """What a variant is, in a sentence."""
    return str(_variant(name)[-1]["about"])


def row_names() -> list[str]:
    """Names of the composed recipes that are rows of published tables, `"ssv2/mt"`, data set by data set."""
    return [f"{data}/{row}" for data in data_names() for row in _data(data).rows]


def row_of(name: str) -> str:
    """The whole name of a composed recipe, `"ssv2/mt"` for `"mt"`; "" for every other name."""
    pair = _pair(name)
    return "" if pair is None else "/".join(pair)


def recipe_names() -> list[str]:
    """Names of the recipes that ship with the toolkit."""
    return [*sorted({*_names_in(""), *variant_names()}), *row_names()]


def read_recipe_file(name: str) -> str:
    """The text of a YAML file, whose size `parse_yaml` bounds.

    Raises:
        ConfigError: if it cannot be read, or is no text.
    """
    try:
        return read_regular(name, MAX_YAML_BYTES + 1).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"recipe file '{name}': is no text in UTF-8") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"recipe file '{name}': {reason}; give a path or a name") from None


def _text(name: str) -> str:
    if _is_file(name):
        return read_recipe_file(name)
    if name not in _names_in(""):
        data = name.partition("/")[0]
        if data in data_names():
            raise ConfigError(
                f"unknown recipe '{name}': '{data}' is a data set, and recipes on it are DATA/VARIANT, such as "
                f"{data}/pvit; variants are {', '.join(variant_names())}"
            )
        names = recipe_names()
        raise ConfigError(
            f"unknown recipe '{name}'{did_you_mean(name, names, 0.0)} `pvit recipes` lists them, with data sets and "
            f"variants; `pvit recipes --table` lists the {len(row_names())} rows of published tables"
        )
    return _shipped("", name)


def _shipped(folder: str, name: str) -> str:
    text: str = (_folder(folder) / f"{name}.yaml").read_text(encoding="utf-8")
    return text


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def _parts(name: str) -> list[str]:
    """`A+B` as A and B; a file whose name has a plus is one."""
    return [name] if os.path.isfile(name) else name.split("+")


def _laid(base: Mapping[str, Any], over: Mapping[str, Any]) -> Values:
    """`over` laid onto `base`; an empty list of what is added takes away what there was."""
    added = {
        key: [*base.get(key, ()), *over[key]]
        for key in ADDED
        if isinstance(over.get(key), list) and over[key]
    }
    return merge(base, over) | added


def _of_another(values: Mapping[str, Any]) -> Values:
    """The values of a recipe for one that starts from it, of which what is said and published of it is not true."""
    return {key: value for key, value in values.items() if key not in ("target", *ADDED)}


def _named_data(first: str) -> str | None:
    """The data set that a recipe names, "" for none; None where it leaves that open, as a variant alone does."""
    if pair := _pair(first):
        is_said = any("downstream" in part.get("clip", {}) for part in _variant(pair[1]))
        return pair[0] if "/" in first else ("" if is_said else None)
    base, values = _stated(first)
    own: str | None = values.get("clip", {}).get("downstream")
    if own is not None or base is None:
        return own
    named = (_named_data(part) for part in _parts(base))
    return next((name for name in named if name is not None), None)


def _laid_over(parts: Sequence[str], index: int, named: str | None) -> Values:
    """What a further part of `A+B` states itself, on the data set that the parts before it name, if any."""
    first, other = parts[0], parts[index]
    pair = _pair(other)
    if pair is None:
        return _stated(other)[1]
    if "/" in other:
        others = [*parts[:index], *parts[index + 1 :]]
        instead = [*parts[:index], pair[1], *parts[index + 1 :]] if named else [other, *others]
        raise ConfigError(
            f"recipe '{'+'.join(parts)}': '{other}' names a data set, which only the first part may, here "
            f"'{first}'; write '{'+'.join(instead)}'"
        )
    return _composed(named if named in data_names() else USUAL_DATA, pair[1], alone=False)


def _mapping(name: str, depth: int = 0) -> Values:
    """A recipe laid onto its base; of `A+B` A, and onto it what B states, with what both are about.

    The data set that is named first stays.
    """
    if depth > MAX_BASES:
        raise ConfigError(
            f"recipe '{name}': more than {MAX_BASES} bases deep; does a base name itself?"
        )
    first, *further = parts = _parts(name)
    if pair := _pair(first):
        values = _composed(*pair)
    else:
        base, values = _stated(first)
        if base is not None:
            values = _laid(_of_another(_mapping(base, depth + 1)), values)
    named = _named_data(first)
    for index in range(1, len(further) + 1):
        stated = _laid_over(parts, index, named)
        over, clip = _of_another(stated), dict(stated.get("clip", {}))
        if clip.get("downstream") and named is not None:
            del clip["downstream"]
        named = clip.get("downstream", named)
        abouts = [str(about).strip() for v in (values, stated) if (about := v.get("about"))]
        told = " ".join(text if text.endswith(ENDS) else f"{text}." for text in abouts)
        values = _laid(_of_another(values), {**over, "clip": clip}) | {"about": told}
    return values


def _stated(name: str) -> tuple[str | None, Values]:
    """The base that a recipe names, if any, and what it states itself."""
    return _checked(_text(name), f"recipe '{name}'")


def _checked(text: str, where: str, further: Sequence[str] = ()) -> tuple[str | None, Values]:
    """Base and values of a YAML text, which may have `further` keys."""
    values = parse_yaml(text, where)
    if not isinstance(values, dict):
        raise ConfigError(
            f"{where}: expected sections such as data, model, optim; found {short(values)}"
        )
    base = values.pop("base", None)
    check_keys({key: value for key, value in values.items() if key not in further}, where)
    return None if base is None else str(base), values


class _Data(NamedTuple):
    """A data set's part of a recipe.

    Args:
        values: that every recipe on it has.
        alone: further ones where a variant has no auxiliary data.
        rows: by variant, those of published tables, with what is true of the two together: the target above all.
    """

    values: Values
    alone: Values
    rows: Mapping[str, Values]


@cache
def _data(name: str) -> _Data:
    base, values = _checked(_shipped(DATA, name), f"{DATA} '{name}'", OF_DATA)
    alone, rows, _ = (values.pop(key, {}) for key in OF_DATA)
    if base is None:
        return _Data(values, alone, rows)
    under = _data(base)
    return _Data(_laid(under.values, values), _laid(under.alone, alone), rows)


@cache
def auxiliary() -> dict[str, list[str]]:
    """The paper's auxiliary sources, and what is trained on each where a recipe does not say otherwise."""
    found: dict[str, list[str]] = parse_yaml(_shipped(DATA, COMMON), COMMON)["auxiliary"]
    return found


@cache
def _variant(name: str) -> tuple[Values, ...]:
    """What a variant and those that it starts from state, itself last."""
    base, values = _checked(_shipped(VARIANT, name), f"{VARIANT} '{name}'", (OWN,))
    return (*(() if base is None else _variant(base)), values)


def _pair(name: str) -> tuple[str, str] | None:
    """Data set and variant of a composed recipe; None for every other name."""
    data, _, variant = name.rpartition("/")
    data = data if "/" in name else USUAL_DATA
    known = data in data_names() and variant in variant_names()
    return (data, variant) if known and not _is_file(name) else None


def _composed(data: str, variant: str, alone: bool = True) -> Values:
    """A data set's values, onto them those of a variant, and of their row.

    Args:
        alone: on its own; else to be laid onto another recipe: only what the variant and those that it starts from
            state, but not `pvit`, from which all of them start.
    """
    on, stated = _data(data), _variant(variant)
    values = on.values if alone else {}
    for part in stated if alone else stated[1:] or stated:
        is_told = part is stated[-1]  # what is said of its base is not true of it
        told = part if is_told else {k: v for k, v in part.items() if k not in ADDED}
        values = _laid(values, told)
        if part.get("mixture", {}).get("portion") == 0:
            values = _laid(values, on.alone)
    values = _laid(values, on.rows.get(variant, {}))
    abouts = [stated[-1]["about"], *([on.values["about"]] if alone else [])]
    return values | {"about": " ".join(abouts)}


def _with_own_tasks(values: Values) -> Values:
    """With what a variant trains of the downstream's own videos in the list of the downstream."""
    own = values.pop(OWN, ())
    if not own:
        return values
    clip = values.get("clip", {})
    lists, downstream = clip.get("tasks", {}), clip.get("downstream") or USUAL_DATA
    listed = lists.get(downstream, lists.get(USUAL_DATA, LABELS))
    tasks = {downstream: [*dict.fromkeys([*listed, *own])]}
    return merge(values, {"clip": {"tasks": tasks}})


def load_recipe(name: str, settings: Sequence[str] = ()) -> TrainConfig:
    """A recipe with overrides laid onto it.

    Args:
        name: a shipped recipe, the path of a YAML file, or several of them joined by `+`.
        settings: overrides, each `"a.b=c"`.

    Raises:
        ConfigError: for an unknown recipe, key or value.
    """
    own = "+".join(Path(part).stem if _is_file(part) else part for part in _parts(name))
    values = merge({"name": own}, _with_own_tasks(_mapping(name)))
    return load_values(values, settings, f"recipe '{name}'")


def usual_sampler(source: str) -> str:
    """How clips of a data set are cut by what is published, also of its protocols; "": nothing is."""
    protocol = protocol_of_source(source)  # of all settings of SomethingElse
    return BY_SOURCE.get(source if protocol is None else protocol.name, "")


def with_settings(config: TrainConfig, settings: Sequence[str]) -> TrainConfig:
    """A configuration with overrides laid onto it, each `"a.b=c"`.

    Raises:
        ConfigError: for an unknown key or value.
    """
    values = config.model_dump(mode="json", exclude_unset=True)
    return load_values(values, settings, f"recipe '{config.name}'")


def load_values(values: Mapping[str, Any], settings: Sequence[str], where: str) -> TrainConfig:
    """The configuration of plain values with overrides laid onto them; `where` they are from, for messages."""
    for text in settings:
        change = parse_setting(text)
        check_keys(change, f"--set {text}")
        values = merge(values, change)
    return load_mapping(values, where)
