"""`data.json`: what a run learned from, and under which rights: recorded when it happens, and only added to.

Nothing of it is looked up later, when something else may lie there. What nobody recorded is unknown.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pvit_data.errors import FormatError, PvitError
from pvit_data.format.manifest import LayerSpec, SourceSpec
from pvit_data.format.names import split_address
from pvit_data.sample.rights import is_open, rights_of
from pvit_data.storage.values import read_json
from pvit_data.tasks.table import target_specs
from pvit_data.words import first_problem, plain_url
from pvit_model.backbones.base import Published
from pvit_model.network.save import WEIGHTS
from pvit_model.recipes.config import TrainConfig
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import Plan, SourcePlan
from pvit_model.runs.checkpoint import FOLDER

NAME, CONFIG = "data.json", "config.yaml"
CHECKPOINTS, PICTURES = "checkpoints", "rgb"


class Rights(BaseModel):
    """Under which licence something is that weights were made from.

    Args:
        name: of a source, a layer, a field, or a file of weights.
        title: its full name.
        licence: as it says itself; "": it says none.
        redistributable: whether it may be passed on.
        derived: whether its licence lets be passed on what was made from it: `"yes"`, `"no"` or `"unknown"`.
        derived_clause: what the licence says of that.
        is_weights: it is weights, which training began with.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    title: str = ""
    licence: str = ""
    redistributable: bool = False
    derived: Literal["yes", "no", "unknown"] = "unknown"
    derived_clause: str = ""
    is_weights: bool = False


class Trained(BaseModel):
    """A source that a run learned from.

    Args:
        name: the source's.
        url: where it was read, without secrets.
        sha256: of its index, shards and label spaces; "": not recorded.
        over: of a protocol the source whose pictures it has, "" of others; None: not recorded.
        train: clips of it; None: not recorded.
        without: tasks of the recipe that none of them carries.
        rights: of all that was read of it: its own, those of its layers, and of a protocol's base; empty: not recorded.
    """

    name: str
    url: str = ""
    sha256: str = ""
    over: str | None = None
    train: int | None = None
    without: list[str] = []
    rights: list[Rights] = []


class Learned(BaseModel):
    """All that a run learned from.

    Args:
        sources: that it is trained on, by name.
        before: what it was trained on before it went on with other data.
        starts: of weights that it began with, all that these were made from.
        starts_on: the sources that these were trained on.
        starts_unknown: names of weights among them of which nobody recorded that.
    """

    sources: dict[str, Trained] = {}
    before: list[Trained] = []
    starts: list[Rights] = []
    starts_on: list[Trained] = []
    starts_unknown: list[str] = []

    @property
    def all_sources(self) -> list[Trained]:
        """Those that it is trained on, then those of before."""
        return [*self.sources.values(), *self.before]

    @property
    def trained_on(self) -> list[Trained]:
        """The same, then those that the weights it began with were trained on."""
        return [*self.all_sources, *self.starts_on]

    @property
    def rights(self) -> list[Rights]:
        """All that the weights were made from, each once; a source that recorded nothing has no licence."""
        found = [each for s in self.all_sources for each in s.rights or [Rights(name=s.name)]]
        return [*dict.fromkeys([*found, *self.starts])]


def run_of(where: str) -> Path | None:
    """The folder of the run whose network this is; None for one that was exported or comes from the Hub.

    Of what lies in a run's folder, its checkpoints and its `model` alone are the run's own.
    """
    path = Path(os.path.expanduser(where))
    if not (path / WEIGHTS).is_file():
        return path if (path / CHECKPOINTS).is_dir() else None
    real = Path(os.path.realpath(path))
    if FOLDER.fullmatch(real.name) and real.parent.name == CHECKPOINTS:
        return real.parents[1]
    is_best = real.name == "model" and (real.parent / CHECKPOINTS).is_dir()
    return real.parent if is_best else None


def config_of(run: Path) -> TrainConfig | None:
    """The configuration that a run recorded; None: none.

    Raises:
        FormatError, ConfigError: if it cannot be read.
    """
    return load_recipe(str(run / CONFIG)) if (run / CONFIG).is_file() else None


def read_learned(run: Path, config: TrainConfig | None) -> Learned:
    """What a run recorded; of what earlier versions did not record, the names alone are known.

    Args:
        config: the run's, as `config_of` gives it.

    Raises:
        FormatError: if it cannot be read.
    """
    path = run / NAME
    values = read_json(path) if path.is_file() else {}
    record = values if isinstance(values, dict) and "sources" in values else {"sources": {}}
    found = _parsed(record, path)
    start = _unrecorded(config)
    if "starts_on" not in record:
        found.starts_on, found.starts_unknown = start.starts_on, start.starts_unknown
    if "starts" in record:
        return found
    if not found.sources and config is not None:
        found.sources = {name: Trained(name=name) for name in config.clip.tasks}
    if found.sources:
        found.starts = start.starts
    for name, source in found.sources.items():
        source.rights = [_said_of_itself(each, name) for each in source.rights]
        if source.rights and record["sources"][name].get("base"):  # of a protocol
            source.rights.append(Rights(name=f"labels of {name}"))
    return found


def _parsed(record: dict[str, Any], path: Path) -> Learned:
    try:
        sources = {
            n: {"over": None if "base" in entry else "", **entry, "name": n}
            for n, entry in dict(record["sources"]).items()
        }
        return Learned.model_validate({**record, "sources": sources})
    except ValidationError as error:
        raise FormatError(f"{path}: {first_problem(error)}") from None
    except (TypeError, ValueError):
        raise FormatError(f"{path}: does not say which data the run was trained on") from None


def _said_of_itself(each: Rights, source: str) -> Rights:
    """What earlier versions recorded of a layer: its base's word on what is made from pictures, not its own."""
    is_allowed = each.derived == "yes" and each.name != source
    return each.model_copy(update={"derived": "unknown"}) if is_allowed else each


def data_record(plan: Plan, before: Learned | None = None) -> dict[str, Any]:
    """What `data.json` says.

    Args:
        before: what a run that goes on learned from until now; None: it begins.
    """
    hashes = plan.data_hashes()
    records = {s.name: _source_record(s, hashes[s.name]) for s in plan.sources}
    now = {name: Trained.model_validate({**each, "name": name}) for name, each in records.items()}
    start = began_with(plan.config) if before is None else before
    earlier = [] if before is None else [*before.before]
    for old in [] if before is None else before.sources.values():
        new = now.get(old.name)
        is_same = new is not None and (new.sha256, new.rights) == (old.sha256, old.rights)
        if not is_same and old not in earlier:
            earlier.append(old)
    return {
        "sources": records,
        "before": [each.model_dump(exclude_defaults=True) for each in earlier],
        "starts": [each.model_dump(exclude_defaults=True) for each in start.starts],
        "starts_on": [each.model_dump(exclude_defaults=True) for each in start.starts_on],
        "starts_unknown": start.starts_unknown,
    }


def _source_record(source: SourcePlan, sha256: str) -> dict[str, Any]:
    """Of a source its address (without its secrets), hash, size and rights."""
    found = source.found
    record: dict[str, Any] = {
        "url": plain_url(found.url),
        "sha256": sha256,
        "over": found.over,
        "train": len(source.train),
        "rights": [each.model_dump(exclude={"is_weights"}) for each in _rights(source)],
    }
    if source.without:
        record["without"] = list(source.without)
    if found.layers:
        record["layers"] = [_plain_layer(layer) for layer in found.layers]
    if found.over:
        record["base"] = plain_url(found.pictures)
    return record


def _plain_layer(address: str) -> str:
    """URL and name of a layer, without its secrets.

    >>> _plain_layer("https://me:secret@host/data?Signature=abc#depth")
    'https://host/data#depth'
    """
    url, name = split_address(address)
    return "#".join(filter(None, (plain_url(url), name)))


def _rights(source: SourcePlan) -> list[Rights]:
    """Of all that is read of a source, each once."""
    specs = target_specs(dict.fromkeys((*source.tasks, *source.labels)))
    read = {PICTURES, *(field for spec in specs for field in spec.reads)}
    found: list[Rights] = []
    for spec, fields in source.found.ds.declared_by(source.name):
        mine = sorted(read if fields is None else read & fields)
        found += _of_layer(spec, mine) if isinstance(spec, LayerSpec) else _of_source(spec, mine)
    return [*dict.fromkeys(found)]


def _of_source(spec: SourceSpec, fields: list[str]) -> Iterator[Rights]:
    """A source's own, and those of fields that are under a stricter licence."""
    yield Rights(
        name=spec.name,
        title=spec.title,
        licence=spec.licence,
        redistributable=is_open(spec),
        derived=spec.derived,
        derived_clause=spec.derived_clause,
    )
    for field in fields:
        own = spec.rights.get(field)
        if own is None or own.public == "yes" or (field == PICTURES and spec.derived == "yes"):
            continue
        yield Rights(
            name=f"{field} of {spec.name}",
            title=own.origin,
            licence=own.licence,
            derived_clause=own.why,
        )


def _of_layer(spec: LayerSpec, fields: list[str]) -> Iterator[Rights]:
    """A layer's own: that something may be made from its base's pictures says nothing of what the layer adds."""
    forbids = spec.derived == "no"
    for field in fields:
        own = rights_of(spec, field)
        yield Rights(
            name=spec.name,
            title=spec.title,
            licence=own.licence,
            redistributable=own.public == "yes",
            derived="no" if forbids else "unknown",
            derived_clause=spec.derived_clause if forbids else "",
        )


def began_with(config: TrainConfig) -> Learned:
    """What the weights were made from that training begins with: published ones, or those of another run."""
    if config.model.init_from:
        return _of_weights(config.model.init_from)
    return _of_published(config) if config.model.checkpoint else Learned()


def _unrecorded(config: TrainConfig | None) -> Learned:
    """The same of a run that recorded none of it: what lay there then is not known."""
    name = "starting weights" if config is None else Path(config.model.init_from).name
    if config is None or name:
        return Learned(starts=[Rights(name=name, is_weights=True)], starts_unknown=[name])
    return began_with(config)


def learned_of(where: str) -> Learned:
    """What a network was trained on; of one without a readable record, the names in its configuration alone.

    Args:
        where: a run's folder or what lies in it, an exported folder, a Hub id.
    """
    if (run := run_of(where)) is not None:
        with suppress(PvitError, OSError):
            return read_learned(run, config_of(run))
    return Learned(starts_unknown=[Path(where).name])


def _of_weights(where: str) -> Learned:
    """What a network was made from; where its run does not say, or there is none, it has no licence."""
    found = learned_of(where)
    rights = found.rights or [Rights(name=Path(where).name)]
    on = [
        Trained(name=each.name, url=each.url, sha256=each.sha256, over=each.over)
        for each in found.trained_on
    ]
    return Learned(
        starts=[each.model_copy(update={"is_weights": True}) for each in rights],
        starts_on=on,
        starts_unknown=found.starts_unknown,
    )


def _of_published(config: TrainConfig) -> Learned:
    """A file of published weights: its backbone tells the licence, and the data."""
    name = Path(config.model.checkpoint).name
    known = published_entry(config.model.name, name)
    rights = Rights(name=name, is_weights=True)
    if known is not None:
        told = {"title": known.trained_on, "licence": known.licence}
        rights = rights.model_copy(update=told | {"derived": "yes" if known.licence else "unknown"})
    return learned_by_file(name, known).model_copy(update={"starts": [rights]})


def published_entry(backbone: str, file: str) -> Published | None:
    """What a backbone tells of a file of published weights."""
    import torch

    from pvit_model.backbones import build_backbone
    from pvit_model.recipes.published import entry_of

    with torch.device("meta"):
        return entry_of(Path(file), build_backbone(backbone).published)


def learned_by_file(name: str, known: Published | None) -> Learned:
    """On what a file of published weights was trained."""
    if known is None:
        return Learned(starts_unknown=[name])
    return Learned(starts_on=[Trained(name=known.data, over="")] if known.data else [])
