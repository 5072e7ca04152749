"""Published weights as a network to be evaluated: what the file and the data set's recipe say of it, and no training.

Views, crops and resizing are the recipe's (`ssv2/slowfast`), length, size and rate of clips those that the file was
trained with, normalisation the backbone's, the number of classes that of the rows of the file's head.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pvit_data.clips.config import ClipConfig
from pvit_data.clips.frames import Sampler
from pvit_data.errors import ConfigError, UsageError
from pvit_data.mixing.sources import sampler_of
from pvit_data.reading.layers.places import FoundSource
from pvit_data.sample.labels import LabelSpace
from pvit_data.tasks.table import labels_among, target_spec
from pvit_data.words import did_you_mean
from pvit_model.backbones import build_backbone
from pvit_model.backbones.base import Published
from pvit_model.config import make_config
from pvit_model.network.claims import check_memory, shapes_of
from pvit_model.network.class_rows import published_classes
from pvit_model.network.inference import Inference
from pvit_model.network.published import LoadReport, load_backbone_checkpoint
from pvit_model.network.pvit import PViT
from pvit_model.network.state_file import StateFile, open_state
from pvit_model.recipes.clips import clip_for, require_key_frames
from pvit_model.recipes.config import ModelConfig, TrainConfig, certain, parse_setting
from pvit_model.recipes.loading import load_recipe, row_names, usual_sampler
from pvit_model.tasks import ACTION
from pvit_model.tasks.heads import ClassHead

WHOSE = ("slowfast", "baseline")
"""Rows whose settings published weights are evaluated with, the first that a data set has."""
NUMBER = re.compile(r"_f\d+(\.\w+)$")
"""At the end of a file of SlowFast's, the number of the run that it is from."""
USUAL = "the usual model.options"
MOST_MISSING = 0.01
"""Share of the backbone's numbers that a file may lack."""


@dataclass(frozen=True)
class PublishedNetwork:
    """A network of published weights.

    Args:
        network: in evaluation mode.
        inference: how to feed it.
        report: what became of each parameter.
        target: published numbers, in per cent.
        notes: sentences the user should read.
    """

    network: PViT
    inference: Inference
    report: LoadReport
    target: dict[str, float]
    notes: tuple[str, ...]


def protocol_recipe(protocol: str) -> TrainConfig:
    """The recipe whose settings published weights are evaluated with.

    Raises:
        UsageError: if there is no such data set, or it has several labels.
    """
    rows, names = row_names(), sorted({row.partition("/")[0] for row in row_names()})
    found = {
        name: load_recipe(next(f"{name}/{v}" for v in WHOSE if f"{name}/{v}" in rows))
        for name in names
    }
    known = [name for name, recipe in found.items() if len(_labels(recipe)) == 1]
    listed = f"Known: {', '.join(known)}."
    if protocol in known:
        return found[protocol]
    if protocol in found:
        raise UsageError(
            f"no published weights are read for '{protocol}': its networks have a head for each of "
            f"{' and '.join(_labels(found[protocol]))}, and files name one. {listed}"
        )
    raise UsageError(f"no protocol '{protocol}'{did_you_mean(protocol, known) or '.'} {listed}")


def _labels(recipe: TrainConfig) -> tuple[str, ...]:
    """What the downstream is evaluated on."""
    return labels_among(certain(recipe.clip.tasks.get(recipe.clip.downstream, ())))


def published_network(
    weights: str | Path, name: str, protocol: str, source: FoundSource
) -> PublishedNetwork:
    """Builds the network of a file of published weights.

    Args:
        weights: the file; nothing in it is executed.
        name: of the backbone.
        protocol: data set whose settings are used: `"ssv2"`, `"kinetics400"`, ...
        source: what it is to be evaluated on, for its classes.

    Raises:
        UsageError: if backbone or protocol is unknown.
        SourceError: if the file cannot be read.
        ConfigError: if it has no head, or its weights or classes do not fit.
    """
    recipe = protocol_recipe(protocol)
    (label,) = _labels(recipe)
    with torch.device("meta"):
        nominal = build_backbone(name)
    entry = entry_of(Path(weights), nominal.published)
    options = {} if entry is None else _options_of(entry)
    state = open_state(weights)
    with torch.device("meta"):
        backbone = build_backbone(name, **options)
    translated = backbone.translate(state.tensors) or {}
    if "head.weight" not in translated:
        if not backbone.state_dict().keys() & translated.keys():
            listed = ", ".join(sorted(state.tensors)[:3])
            raise ConfigError(
                f"'{weights}' has no parameter of '{name}': its first names are {listed}; choose the backbone that the "
                "file belongs to"
            )
        raise ConfigError(
            f"'{weights}' has no head for classes: it is of a pre-training; train one first"
        )
    classes, notes = _classes(state, len(translated["head.weight"]), source, label)
    clip = _clip(recipe, entry, source, _heads(label, classes))
    clip = clip_for(clip, make_config(backbone=name, variant="baseline", **options))
    options |= {"clip": [clip.num_frames, *clip.size], **_heads(label, classes)}
    network, report = _filled(state, name, options)
    is_action = label == ACTION
    inference = Inference(
        clip=clip,
        action=classes if is_action else None,
        labels=() if is_action else (label,),
        label_spaces={} if is_action else {label: classes},
        clips=recipe.data.clips,
        crops=recipe.data.crops,
        recipe=f"published {Path(weights).name} ({name})",
    )
    return PublishedNetwork(
        network.eval(),
        inference,
        report,
        {} if entry is None else _target(entry, recipe),
        (*notes, *_missing(report)),
    )


def entry_of(weights: Path, published: tuple[Published, ...]) -> Published | None:
    """What is known of a file, by its name, which may lack the number at its end: `MViTv2_S_16x4_ssv2.pyth`."""
    whole = {entry.file: entry for entry in published}
    short = {NUMBER.sub(r"\1", file): entry for file, entry in whole.items()}
    return (short | whole).get(weights.name)


def other_options(model: ModelConfig) -> list[str]:
    """What to say where training starts from a published file that is of a network with other options."""
    file = Path(model.checkpoint)
    with torch.device("meta"):
        published = build_backbone(model.name).published
        entry = entry_of(file, published)
        known = {option for each in published for option in _options_of(each)}
        given = {k: v for k, v in model.options.items() if k in known}
        if entry is None or _shapes(model.name, given) == _shapes(model.name, _options_of(entry)):
            return []
    own = ", ".join(f"{k}={v}" for k, v in given.items()) or USUAL
    remedy = f"; --set 'model.options.{entry.options}'" if entry.options else ""
    return [
        f"model.checkpoint: {file.name} is of a network with {entry.options or USUAL}, this one has {own}: what "
        f"differs is resized, or starts at random{remedy}"
    ]


def _options_of(entry: Published) -> dict[str, Any]:
    return parse_setting(entry.options) if entry.options else {}


def _shapes(name: str, options: dict[str, Any]) -> dict[str, torch.Size]:
    return {n: p.shape for n, p in build_backbone(name, **options).state_dict().items()}


def _heads(label: str, classes: LabelSpace) -> dict[str, Any]:
    """What a configuration says of the head of a label."""
    if label == ACTION:
        return {"num_classes": classes.num_ids}
    return {"num_classes": 1, "labels": [label], "label_classes": {label: len(classes.classes)}}


def _clip(
    recipe: TrainConfig, entry: Published | None, source: FoundSource, heads: dict[str, Any]
) -> ClipConfig:
    """How clips of a source are made: as the recipe says, of the length, size and rate of the file's."""
    labels = tuple(heads.get("labels", (ACTION,)))
    changed = {
        "downstream": source.name,
        "tasks": {source.name: labels},
        "label_classes": heads.get("label_classes", {}),
        "samplers": {source.name: _sampler(recipe.clip, source)},
    }
    clip = recipe.clip.model_copy(update=changed | _clips_of(entry))
    require_key_frames(clip, source.name, labels)
    return clip


def _sampler(clip: ClipConfig, source: FoundSource) -> Sampler:
    """That of the recipe's data set, whatever another source declares."""
    own = clip.downstream
    if source.name == own:
        return sampler_of(source.ds, own, clip)
    return clip.sampler(own, usual_sampler(own))


def _filled(state: StateFile, name: str, options: dict[str, Any]) -> tuple[PViT, LoadReport]:
    """The network with the weights in it.

    Raises:
        ConfigError: if they do not fit.
    """
    config = make_config(backbone=name, variant="baseline", **options)
    check_memory(shapes_of(lambda: PViT(config), state.where), state.where)
    network = PViT(config)
    heads = [head.linear for head in network.heads.values() if isinstance(head, ClassHead)]
    report = load_backbone_checkpoint(network, state, head=next(iter(heads), None))
    if fresh_head := [text for text in report.fresh if text.startswith("head.")]:
        raise ConfigError(f"{state.where}: its head does not fit the network: {fresh_head[0]}")
    sizes = {name: value.numel() for name, value in network.backbone.state_dict().items()}
    lost = sum(sizes.get(text.partition(" ")[0], 0) for text in report.fresh)
    share = lost / sum(sizes.values())
    if share > MOST_MISSING:
        raise ConfigError(
            f"{state.where} lacks {len(report.fresh)} parameters of the backbone, {100 * share:.1f} % "
            f"of its numbers ({', '.join(report.fresh[:3])} ...): they would be random; choose the backbone that the "
            "file belongs to, or download it again"
        )
    return network, report


def _missing(report: LoadReport) -> list[str]:
    """That something of the network is not in the file."""
    said = f"MISSING: {len(report.fresh)} parameters are not in the file and stay random"
    return [said] if report.fresh else []


def _clips_of(entry: Published | None) -> dict[str, object]:
    """Length, size and rate of a file's clips; a file of which nothing is known has those of its backbone."""
    if entry is None:
        return {}
    frames, *size = entry.clip
    rate = {"rate": entry.rate} if entry.rate else {}
    return {"num_frames": frames, "size": tuple(size), **rate}


def _target(entry: Published, recipe: TrainConfig) -> dict[str, float]:
    """The published top-1 of a file; all numbers of the recipe where that is its target."""
    top1 = entry.top1
    if top1 is None or entry.protocol != recipe.clip.downstream:
        return {}
    return recipe.target if recipe.target.get("top1") == top1 else {"top1": top1}


def _classes(
    state: StateFile, number: int, source: FoundSource, label: str
) -> tuple[LabelSpace, tuple[str, ...]]:
    """The classes of a head, and what to say of them.

    Raises:
        ConfigError: if the file does not name them and the source has another number.
    """
    field = target_spec(label).by_class or target_spec(label).field
    ds = source.ds  # whose layers may hide the labels of its own
    own = {**ds.without_layers().spaces_of(source.name), **ds.spaces_of(source.name)}.get(field)
    if own is None:
        raise UsageError(
            f"source '{source.name}' has no classes of {label}, which the protocol is about; name another --source"
        )
    own_number = own.num_ids if label == ACTION else len(own.classes)
    if len(state.classes) == number:
        first = 0 if label == ACTION else own.first  # rows of further heads have no ids below it
        return LabelSpace(own.name, state.classes, first), ()
    if label == ACTION and (known := published_classes(number, own.classes)):
        said = f"the file names no classes: taken for the {number} of {known.name}, in their order"
        return known, (said,)
    if own_number != number:
        raise ConfigError(
            f"{state.where}: its head has {number} classes, which it does not name, and source '{source.name}' "
            f"has {own_number}; choose the protocol and the --source that the weights were trained on"
        )
    said = f"the file names no classes: the order of source '{source.name}' is assumed"
    return own, (said,)
