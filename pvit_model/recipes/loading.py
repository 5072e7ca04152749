"""Recipes: the YAML files shipped in `pvit_model/recipes`, each a complete configuration with a name.

A small one may name another as its `base:` and state only what differs. `A+B` is recipe A with what B states itself
(not its base) laid onto it: `mt+timesformer`, as `base:` too. A path to a YAML file works wherever a name does, so a
user's own recipe needs no registration.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pvit_data.errors import ConfigError
from pvit_data.storage.files import read_regular
from pvit_data.storage.values import MAX_YAML_BYTES, parse_yaml
from pvit_data.words import did_you_mean, short
from pvit_model.recipes.config import TrainConfig, check_keys, load_mapping, merge, parse_setting

MAX_BASES = 8


def recipe_names() -> list[str]:
    """Names of the recipes that ship with the toolkit."""
    folder = resources.files("pvit_model") / "recipes"
    return sorted(
        f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")
    )


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
    if name.endswith((".yaml", ".yml")):
        return read_recipe_file(name)
    names = recipe_names()
    if name not in names:
        raise ConfigError(
            f"unknown recipe '{name}'{did_you_mean(name, names, 0.0)} `pvit recipes` lists all {len(names)}"
        )
    return (resources.files("pvit_model") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")


def _parts(name: str) -> list[str]:
    """`A+B` as A and B; a file whose name has a plus is one."""
    return [name] if os.path.isfile(name) else name.split("+")


def _mapping(name: str, depth: int = 0) -> dict[str, Any]:
    """A recipe laid onto its base; of `A+B` A, and onto it what B states, with what both are about."""
    if depth > MAX_BASES:
        raise ConfigError(
            f"recipe '{name}': more than {MAX_BASES} bases deep; does a base name itself?"
        )
    first, *further = _parts(name)
    base, values = _stated(first)
    if base is not None:
        values = merge(_mapping(base, depth + 1), values)
    for other in further:
        _, stated = _stated(other)
        abouts = [str(about) for v in (values, stated) if (about := v.get("about"))]
        values = merge(values, stated) | {"about": " ".join(abouts)}
    return values


def _stated(name: str) -> tuple[str | None, dict[str, Any]]:
    """The base that a recipe names, if any, and what it states itself."""
    values = parse_yaml(_text(name), f"recipe '{name}'")
    if not isinstance(values, dict):
        raise ConfigError(
            f"recipe '{name}': expected sections such as data, model, optim; found {short(values)}"
        )
    base = values.pop("base", None)
    check_keys(values, f"recipe '{name}'")
    return None if base is None else str(base), values


def load_recipe(name: str, settings: Sequence[str] = ()) -> TrainConfig:
    """A recipe with overrides laid onto it.

    Args:
        name: a shipped recipe, the path of a YAML file, or several of them joined by `+`.
        settings: overrides, each `"a.b=c"`.

    Raises:
        ConfigError: for an unknown recipe, key or value.
    """
    own = "+".join(Path(part).stem for part in _parts(name))
    values = merge({"name": own}, _mapping(name))
    return load_values(values, settings, f"recipe '{name}'")


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
