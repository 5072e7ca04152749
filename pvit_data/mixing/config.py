"""A mixture as a file: which datasets, in which roles and shares.

    shards: [data/ssv2, data/synthetic]    # folders or URLs; every source found in them takes part
    downstream: ssv2
    batch_size: 128
    quotas: {depth: 8}

`load` reads it; names are those of `Mixture` and of the training recipes.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pvit_data.errors import ConfigError
from pvit_data.mixing.mixture import Mixture, MixtureSource
from pvit_data.reading.open import open_dataset


class MixConfig(BaseModel):
    """A mixture of the sources of some datasets.

    Args:
        shards: folders or URLs of datasets.
        downstream: the source whose action labels are trained; the others are auxiliary.
        split: which split of each source.
        sources: only these sources; default all.
        where: index filter by source.
        weights, batch_size, seed, quotas, cap, portion, tasks: as in `Mixture`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shards: tuple[str, ...] = Field(min_length=1)
    downstream: str
    split: str = "train"
    sources: tuple[str, ...] = ()
    where: dict[str, str] = {}
    weights: dict[str, float] = {}
    batch_size: int = Field(default=128, ge=1)
    seed: int = 0
    quotas: dict[str, int] = {}
    cap: float = Field(default=3.0, gt=0)
    portion: float = Field(default=1.0, gt=0)
    tasks: dict[str, tuple[str, ...]] = {}

    def build(self) -> Mixture:
        """Opens the datasets and makes the mixture, the downstream source first.

        Raises:
            ConfigError: if a named source is in none of the datasets, or is in two of them.
        """
        found: dict[str, str] = {}
        for url in self.shards:
            for name in open_dataset(url).sources:
                if name in found:
                    raise ConfigError(
                        f"source '{name}' is in {found[name]} and in {url}; merge them or name one"
                    )
                found[name] = url
        named = {self.downstream, *self.sources, *self.where, *self.weights, *self.tasks}
        if unknown := sorted(named - found.keys()):
            raise ConfigError(
                f"no source '{unknown[0]}' in {', '.join(self.shards)}; there is {', '.join(found)}"
            )
        used = [self.downstream, *sorted(set(self.sources or found) - {self.downstream})]
        return Mixture(
            [self._source(name, found[name]) for name in used], self.batch_size, self.seed, self.quotas, self.cap,
            portion=self.portion, tasks=self.tasks,
        )  # fmt: skip

    def _source(self, name: str, url: str) -> MixtureSource:
        ds = open_dataset(url, source=name, split=self.split, where=self.where.get(name))
        return MixtureSource(
            ds, "downstream" if name == self.downstream else "auxiliary", self.weights.get(name)
        )


def load(path: str | Path) -> MixConfig:
    """Reads a mixture file; relative folders are relative to it.

    Raises:
        ConfigError: if it cannot be read, is not YAML of this form, or has an unknown key.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); give a YAML file with shards, downstream"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values (shards, downstream, batch_size, ...)")
    try:
        config = MixConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_first(error.errors()[0])}") from error
    shards = tuple(s if "://" in s else str(path.parent / s) for s in config.shards)
    return config.model_copy(update={"shards": shards})


def _first(problem: Any) -> str:
    name = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, MixConfig.model_fields, 1)
        return f"unknown key '{name}'" + (f"; did you mean '{near[0]}'?" if near else "")
    return f"{name}: {problem['msg']}"
