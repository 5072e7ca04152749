"""The mixture of a recipe, without a network: what `pvit-data mix` looks at before anything is trained.

Mixture files of the earlier, flat form are read, too:

    shards: [data/ssv2, data/synthetic]    # folders or URLs; relative ones are relative to the file
    downstream: ssv2
    quotas: {depth: 8}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pvit_data.errors import ConfigError, UsageError
from pvit_data.mixing.config import MixtureConfig
from pvit_data.mixing.mixture import Mixture
from pvit_data.mixing.sources import find_sources
from pvit_data.words import did_you_mean
from pvit_model.recipes.loading import load_recipe, load_values
from pvit_model.recipes.sources import choose_sources

SECTION_OF = {
    "downstream": "clip",
    "tasks": "clip",
    "where": "data",
    "seed": "run",
    **dict.fromkeys(MixtureConfig.model_fields, "mixture"),
}
"""The section of a recipe in which each key of the flat form stands."""
BESIDE = ("shards", "split", "sources")  # keys of the flat form that are no part of a recipe


def recipe_mixture(
    recipe: str, shards: Sequence[str] = (), settings: Sequence[str] = ()
) -> tuple[Mixture, tuple[str, ...]]:
    """The mixture that `pvit train` would make, and sentences about what it leaves out.

    Args:
        recipe: a shipped recipe, the path of a YAML file of one, or of a mixture file of the flat form.
        shards: folders or URLs of the data, beside those that a flat file names.
        settings: overrides, each `"a.b=c"`.

    Raises:
        UsageError, ConfigError: if recipe and shards do not fit each other.
    """
    flat = _flat_form(recipe)
    if flat is None:
        chosen = choose_sources(load_recipe(recipe, settings), find_sources(shards))
        return chosen.mixture(), chosen.notes
    config = load_values(_translated(flat, recipe), settings, recipe)
    found = find_sources([*_folders(flat, recipe), *shards])
    named = set(flat.get("sources") or found) | {config.clip.downstream}
    if unknown := sorted(named - found.keys() - {config.clip.downstream}):
        raise UsageError(
            f"{recipe}: no source '{unknown[0]}' in the shards, which hold {', '.join(found)}"
        )
    chosen = choose_sources(config, {name: url for name, url in found.items() if name in named})
    return chosen.mixture(flat.get("split", "train")), chosen.notes


def _flat_form(recipe: str) -> dict[str, Any] | None:
    """The contents of a mixture file of the flat form; None for everything else."""
    if not recipe.endswith((".yaml", ".yml")):
        return None
    try:
        values = yaml.safe_load(Path(recipe).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None  # the reader of recipes says what is wrong
    return values if isinstance(values, dict) and "shards" in values else None


def _translated(flat: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The flat form in the language of recipes."""
    values: dict[str, Any] = {"name": Path(where).stem}
    for key, value in flat.items():
        if key in SECTION_OF:
            values.setdefault(SECTION_OF[key], {})[key] = value
        elif key not in BESIDE:
            hint = did_you_mean(key, (*SECTION_OF, *BESIDE))
            raise ConfigError(f"{where}: unknown key '{key}'{hint}")
    return values


def _folders(flat: Mapping[str, Any], where: str) -> list[str]:
    shards = flat["shards"]
    if not isinstance(shards, list) or not all(isinstance(url, str) for url in shards):
        raise ConfigError(f"{where}: shards is {shards!r}, expected a list of folders or URLs")
    return [url if "://" in url else str(Path(where).parent / url) for url in shards]
