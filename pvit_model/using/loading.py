"""Finding and loading a trained network: of a run, an exported folder, a checkpoint or the Hub."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pvit_data.errors import FormatError, UsageError
from pvit_data.reading.layers.places import find_sources
from pvit_data.storage.values import read_json
from pvit_data.words import first_problem, short
from pvit_model.network.inference import FILE, Inference
from pvit_model.network.pvit import PViT
from pvit_model.network.save import CONFIG, WEIGHTS, download
from pvit_model.recipes.published import PublishedNetwork, protocol_recipe, published_network
from pvit_model.runs import checkpoint
from pvit_model.runs.changes import changes_of
from pvit_model.runs.folder import layers_of, without_of
from pvit_model.runs.learned import CONFIG as CONFIG_OF_RUN
from pvit_model.runs.learned import (
    Learned,
    Trained,
    config_of,
    learned_by_file,
    learned_of,
    published_entry,
    run_of,
)


def _path(where: str) -> Path:
    return Path(os.path.expanduser(where))  # a user that is not there stays as it is


def find_model(where: str) -> Path:
    """The folder with a network's files.

    Args:
        where: a run's folder (its best checkpoint is taken), an exported folder or checkpoint, or a Hub id
            `owner/name`, or `owner/name@revision`.

    Raises:
        UsageError: if there is nothing of that kind.
        SourceError: if the Hub does not give it.
    """
    path = _path(where)
    if os.path.isfile(path / "config.json") and os.path.isfile(path / "model.safetensors"):
        return path
    if os.path.isfile(path / "model" / "model.safetensors"):
        return path / "model"
    if os.path.isdir(path / "checkpoints"):
        best = checkpoint.newest(path / "checkpoints")
        if best is not None:
            return best
        raise UsageError(f"run '{where}' has no checkpoint yet; train longer, or check its log")
    is_on_hub = where.partition("@")[0].count("/") == 1
    if os.path.exists(path) or where.startswith((".", "/", "~")) or not is_on_hub:
        raise UsageError(
            f"no model in '{where}': expected a run of `pvit train`, a folder with config.json and model.safetensors, "
            "or a Hub id 'owner/name'"
        )
    return download(where, (CONFIG, WEIGHTS, FILE))


def files_of(where: str) -> list[Path]:
    """The files of a network that lies here, and of its run; nothing for one on the Hub, and where there is none."""
    if not where or not os.path.isdir(_path(where)):
        return []
    folders = [_path(where)]
    with suppress(UsageError):
        folders.append(find_model(where))
    if run := run_of(where):
        folders.append(run)
    places = (folder / name for folder in folders for name in FILES)
    return [path for path in dict.fromkeys(places) if path.is_file()]


def unfinished(where: str) -> str:
    """That a run is not finished, or a checkpoint not its last, in a sentence; "" for others, and for no run's."""
    at = progress_of(where)
    if not at:
        return ""
    if _named_step(where) is None:
        return f"the run '{where}' is not finished: it is at {at}"
    return f"the checkpoint '{where}' is not the end of its run: it is at {at}"


def progress_of(where: str) -> str:
    """How far weights were trained that are not those of a finished run, `"step 99 of 2000"`; else ""."""
    run, named = run_of(where), _named_step(where)
    if run is None or (named is None and (run / "report.html").is_file()):
        return ""
    found = checkpoint.checkpoints(run / "checkpoints") if named is None else [named]
    for step, folder in reversed(found):
        with suppress(FormatError, OSError):  # of a damaged one, which is not loaded either
            planned = checkpoint.read_state(folder).get("num_steps")
            is_last = named is not None and planned == step
            return "" if is_last else f"step {step} of {short(planned)}"
    return ""


def _named_step(where: str) -> tuple[int, Path] | None:
    """Step and folder of a run's checkpoint that is named itself."""
    real = Path(os.path.realpath(_path(where)))
    found = checkpoint.FOLDER.fullmatch(real.name)
    return (int(found[1]), real) if found and run_of(where) is not None else None


FILES = (CONFIG, WEIGHTS, FILE, CONFIG_OF_RUN, "report.json", "environment.json", "data.json")
"""What a network and its run are read from."""


@dataclass(frozen=True)
class Loaded:
    """A trained network, how to use it, and where it comes from.

    Args:
        network: in evaluation mode.
        inference: how to feed it.
        name: for people.
        weights: the file with them.
        run: folder of the run that it comes from, if any.
        learned: what it was trained on.
        facts: further JSON values of its passports.
    """

    network: PViT
    inference: Inference
    name: str
    weights: Path
    run: Path | None = None
    learned: Learned = field(default_factory=Learned)
    facts: Mapping[str, Any] = field(default_factory=dict)


def loaded(where: str, device: str = "cpu") -> Loaded:
    """The same as `load_model`, with where it comes from."""
    network, inference = load_model(where, device)
    run = run_of(where)
    config = None if run is None else config_of(run)
    learned, clip = learned_of(where), inference.clip
    facts: dict[str, Any] = {"downstream": clip.downstream}
    if run is not None and config is not None:
        facts["changed"] = changes_of(config, without_of(run), layers_of(run))
        if start := config.model.init_from or config.model.checkpoint:
            on = dict.fromkeys(each.name for each in learned.starts_on)
            facts["start"] = Path(start).name + (f" ({', '.join(on)})" if on else "")
    if at := progress_of(where):
        facts["unfinished"] = at
    if not learned.sources:
        names = [*filter(None, dict.fromkeys((clip.downstream, *clip.tasks)))]
        learned = learned.model_copy(update={"sources": {n: Trained(name=n) for n in names}})
    weights = find_model(where) / WEIGHTS
    return Loaded(network, inference, Path(where).name, weights, run, learned, facts)


def load_published(
    weights: str,
    name: str,
    protocol: str,
    shards: Sequence[str],
    source: str | None = None,
    device: str = "cpu",
) -> tuple[Loaded, PublishedNetwork]:
    """A file of published weights as a network that can be evaluated on a source, and what is to be said of it.

    Args:
        weights: the file; nothing in it is executed.
        name: of the backbone.
        protocol: data set whose settings are used.
        shards: folders or URLs.
        source: what it is to be evaluated on; default: the one of the protocol's name.
        device: to put the network on.

    Raises:
        UsageError: if backbone, protocol or source is unknown.
        SourceError, ConfigError: if the file cannot be used.
    """
    wanted = source or protocol_recipe(protocol).clip.downstream
    found = find_sources(shards, None, [wanted])
    if wanted not in found:
        raise UsageError(
            f"no source '{wanted}' in the shards, which hold {', '.join(sorted(found))}; name one with --source"
        )
    made = published_network(weights, name, protocol, found[wanted])
    facts = {"backbone": name, "published": made.target}
    file = Path(weights)
    learned = learned_by_file(file.name, published_entry(name, file.name))
    model = Loaded(
        made.network.to(device), made.inference, file.name, file, learned=learned, facts=facts
    )
    return model, made


def load_model(where: str, device: str = "cpu") -> tuple[PViT, Inference]:
    """A trained network in evaluation mode, and how to use it.

    Args:
        where: a run's folder (its best checkpoint is taken), an exported folder or checkpoint, or a Hub id
            `owner/name`.
        device: to put the network on.

    Raises:
        UsageError: if there is no such model.
        FormatError: if its files cannot be used.

    Example:
        >>> model, inference = load_model("RUN")
        >>> model.training, inference.clip.num_frames
        (False, 8)
    """
    folder = find_model(where)
    inference = Inference.load(folder)
    model = PViT.from_pretrained(str(folder))
    _check_classes(model, inference, folder)
    return model.eval().to(device), inference


def _check_classes(model: PViT, inference: Inference, folder: Path) -> None:
    """Refuses classes that are not as many as the network has outputs for."""
    config, spaces = model.config, inference.spaces
    pairs = [(name, spaces[name].num_ids, config.segm_spaces.get(name)) for name in spaces]
    if inference.action is not None:
        pairs.append((inference.action.name, inference.action.num_ids, config.num_classes))
    for label, number in model.config.label_classes.items():
        space = inference.label_spaces.get(label)
        own = inference.clip.label_classes.get(label)
        if space is None or not len(space.classes) == number == own:
            raise FormatError(
                f"{folder / FILE}: does not name the {number:,} classes of {short(label, 60)} that the network has "
                "outputs for; the file belongs to another network"
            )
    for name, known, outputs in pairs:
        if outputs is not None and known != outputs:
            raise FormatError(
                f"{folder / FILE}: label space {short(name, 60)} has {known:,} ids, the network has {outputs:,} "
                "outputs for it; the file belongs to another network"
            )


def run_facts(where: str) -> dict[str, Any]:
    """How a run ended, as JSON values; nothing for a folder that is no run."""
    path = _path(where)
    facts: dict[str, Any] = {}
    for name in ("report.json", "environment.json"):
        if (path / name).is_file():
            facts[name.removesuffix(".json")] = _checked(name, read_json(path / name), path)
    if "environment" in facts:
        facts["code"] = facts.pop("environment")["code"]
    return facts


def _checked(name: str, values: Any, path: Path) -> Any:
    """What `pvit info` shows of a file, which somebody else may have written."""
    try:
        kind = _Report if name == "report.json" else _Environment
        kind.model_validate(values)
    except ValidationError as error:
        raise FormatError(f"{path / name}: {first_problem(error)}") from None
    return values


class _Result(BaseModel):
    source: str
    split: str
    clips: int
    metrics: dict[str, dict[str, float | None]]


class _Report(BaseModel):
    reports: list[_Result] = []


class _Environment(BaseModel):
    code: dict[str, str]
