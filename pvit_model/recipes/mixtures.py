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

from pvit_data.errors import ConfigError, UsageError
from pvit_data.format.names import SPLITS
from pvit_data.mixing.config import MixtureConfig
from pvit_data.mixing.mixture import Mixture
from pvit_data.storage.values import parse_yaml
from pvit_data.words import did_you_mean, short
from pvit_model.recipes.loading import load_recipe, load_values, read_recipe_file
from pvit_model.recipes.places import Say, say_opened
from pvit_model.recipes.sources import choose_sources, sources_of

SECTION_OF = {
    "downstream": "clip",
    "tasks": "clip",
    "where": "data",
    "seed": "run",
    **dict.fromkeys(MixtureConfig.model_fields, "mixture"),
}
"""The section of a recipe in which each key of the flat form stands."""
BESIDE = {"shards": "folders or URLs", "split": "a name", "sources": "names"}
"""Keys of the flat form that are no part of a recipe, and what they hold."""


def recipe_mixture(
    recipe: str,
    shards: Sequence[str] = (),
    settings: Sequence[str] = (),
    say: Say = lambda text: None,
) -> tuple[Mixture, tuple[str, ...]]:
    """The mixture that `pvit train` would make, and sentences about what is attached and what it leaves out.

    Args:
        recipe: a shipped recipe, the path of a YAML file of one, or of a mixture file of the flat form.
        shards: folders or URLs of the data, beside those that a flat file names.
        settings: overrides, each `"a.b=c"`.
        say: told before a URL is opened that only the file names.

    Raises:
        UsageError, ConfigError: if recipe and shards do not fit each other.
    """
    flat = _flat_form(recipe)
    if flat is None:
        own = load_recipe(recipe, settings)
        chosen = choose_sources(own, sources_of(own, shards))
        mixture = chosen.mixture()
        return mixture, chosen.told(mixture)
    config = load_values(_translated(flat, recipe), settings, recipe)
    folders = _texts(flat, "shards", recipe)
    split, wanted = flat.get("split", "train"), _texts(flat, "sources", recipe)
    if split not in SPLITS:
        raise ConfigError(f"{recipe}: split is {short(split)}, expected one of {', '.join(SPLITS)}")
    say_opened(folders, [*shards, *settings], say)
    places = [*(_beside(url, recipe) for url in folders), *shards]
    found = sources_of(config, places, wanted)
    named = set(wanted or found) | {config.clip.downstream}
    if unknown := sorted(named - found.keys() - {config.clip.downstream}):
        raise UsageError(
            f"{recipe}: no source '{unknown[0]}' in the shards, which hold {', '.join(found)}"
        )
    chosen = choose_sources(config, {n: source for n, source in found.items() if n in named})
    mixture = chosen.mixture(split)
    return mixture, chosen.told(mixture)


def _flat_form(recipe: str) -> dict[str, Any] | None:
    """The contents of a mixture file of the flat form; None for everything else."""
    if not recipe.endswith((".yaml", ".yml")):
        return None
    values = parse_yaml(read_recipe_file(recipe), f"recipe '{recipe}'")
    return values if isinstance(values, dict) and "shards" in values else None


def _translated(flat: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The flat form in the language of recipes."""
    values: dict[str, Any] = {"name": Path(where).stem}
    for key, value in flat.items():
        if key in SECTION_OF:
            values.setdefault(SECTION_OF[key], {})[key] = value
        elif key not in BESIDE:
            hint = did_you_mean(str(key), (*SECTION_OF, *BESIDE))
            raise ConfigError(f"{where}: unknown key {short(key, 60)}{hint}")
    return values


def _texts(flat: Mapping[str, Any], key: str, where: str) -> list[str]:
    texts = flat.get(key) or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ConfigError(f"{where}: {key} is {short(texts)}, expected a list of {BESIDE[key]}")
    return texts


def _beside(url: str, where: str) -> str:
    return url if "://" in url else str(Path(where).parent / url)
