"""Load published backbone weights: naming is detected, shapes adapted, and everything reported.

Nothing is matched silently: see `LoadReport`. Which files there are says `state_file`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from pvit_data.errors import ConfigError, SourceError, UsageError
from pvit_data.sample.labels import LabelSpace
from pvit_model.backbones.base import Backbone
from pvit_model.network.class_rows import RowNames, published_classes, rows_by_name
from pvit_model.network.create import backbone_of
from pvit_model.network.save import WEIGHTS, read_config
from pvit_model.network.state_file import StateFile, open_state

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLE = (torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool)
PARTIAL = "to train from part of it all the same, set model.allow_partial=true (allow_partial=True)"


@dataclass
class LoadReport:
    """What happened to every parameter and buffer (the statistics of batch norms, say), by name.

    Args:
        loaded: taken as they are.
        resized: interpolated or inflated to another shape, or taken class by class.
        fresh: of the model, not in the file (or of a size that cannot be adapted): left as initialised.
        unused: weights of the file (its own names), not in the model.
        indices: whole numbers of the file, not in the model: no weights, such as what a table is read by.
    """

    loaded: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    indices: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Counts, and the names of what was not taken as it is, in one line."""
        parts = {"resized": self.resized, "fresh": self.fresh, "unused": self.unused}
        said = [
            f"{len(names)} {what}" + (f" ({_some(names, 3)})" if names else "")
            for what, names in parts.items()
        ]
        if self.indices:
            said.append(f"{len(self.indices)} indices, which are no weights")
        return ", ".join([f"{len(self.loaded)} loaded", *said])

    def __str__(self) -> str:
        rows = [
            ("loaded", self.loaded),
            ("resized", self.resized),
            ("fresh", self.fresh),
            ("unused", self.unused),
            ("indices", self.indices),
        ]
        return "\n".join(
            f"{name:8} {len(names):4}  {_some(names) if name != 'loaded' else ''}"
            for name, names in rows
        )


def _some(names: list[str], most: int = 6) -> str:
    rest = f" ... and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def load_backbone_checkpoint(
    model: nn.Module,
    source: str | Path | Mapping[str, Any] | StateFile,
    *,
    allow_partial: bool = False,
    classes: LabelSpace | None = None,
    head: nn.Linear | None = None,
) -> LoadReport:
    """Fill a model's backbone with published weights, and its action head where its classes are known to be the same.

    Args:
        model: a `PViT`, or a backbone alone.
        source: a file, read or not, or a state dict that is already in memory.
        allow_partial: also where less than half of the backbone's parameters is filled, or the file has more layers.
        classes: what the model's classes are. The file's head is then taken class by class, by the names that the file
            gives; of a file without names where they are classes of Kinetics-400 or SSv2 and it has as many as these;
            else it is left fresh. Default: a head of the same size is taken as it is.
        head: the layer of the model that the file's head belongs to. Default: the one of actions.

    Returns:
        what was loaded, resized, left fresh, and left over; `print` shows it as a table.

    Raises:
        SourceError: if the file is missing, holds no state dict, or a weight that is no finite floating-point number.
        ConfigError: if its names are not those of this backbone, too few are, or it goes on with further layers; the
            model is left as it was.
    """
    file = source if isinstance(source, StateFile) else open_state(source)
    backbone = cast(Backbone, getattr(model, "backbone", model))
    translated = _translated(file, backbone)
    own = dict(backbone.named_parameters())
    inside = own | {name: t for name, t in backbone.state_dict().items() if name not in own}
    every = inside | _of_head(head if head is not None else getattr(model, "head", None))
    _require_floats(file.where, every, translated)
    rows = _head_rows(file, translated, classes)
    origin = _origin(file, backbone, translated)
    fitted = {}
    for name, tensor in every.items():
        given, owner = translated.get(name), backbone if name in inside else None
        fitted[name] = fitted_to(name, given, tensor, owner, rows.get(name), origin)
    filled = [name for name in own if fitted[name] is not None]
    if not filled:
        raise ConfigError(
            f"{file.where} has no parameter of this backbone: its first names are {_some(sorted(file.tensors), 3)}; "
            "choose the backbone that the file belongs to"
        )
    names = _own_names(file, translated)
    taken = {names[name] for name in translated if name in every}
    left = {names[n]: value for n, value in translated.items() if names[n] not in taken}
    if not allow_partial:
        check_share(file.where, own, filled)
        check_depth(file.where, [names[name] for name in translated if name in inside], left)
    report = fill(file.where, every, translated, fitted, rows)
    report.unused, report.indices = _weights_and_indices(left)
    return report


def _of_head(head: object) -> dict[str, Tensor]:
    named = head.named_parameters() if isinstance(head, nn.Linear) else ()
    return {f"head.{name}": parameter for name, parameter in named}


def _own_names(file: StateFile, given: Mapping[str, Tensor]) -> dict[str, str]:
    """The file's names of translated weights; one that was made of several has none, and keeps its own."""
    told = {id(value): name for name, value in file.tensors.items()}
    return {name: told.get(id(value), name) for name, value in given.items()}


def _origin(file: StateFile, backbone: Backbone, given: Mapping[str, Tensor]) -> Backbone | None:
    """What weights come from, where a network's configuration lies beside them or the file itself tells."""
    if file.path is not None and file.path.name == WEIGHTS:
        # That of a file of `transformers` is none of ours.
        with suppress(ConfigError, UsageError, RuntimeError):
            return backbone_of(read_config(file.path.parent))
    return backbone.source_of(given)


def _weights_and_indices(left: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    whole = {name for name, value in left.items() if value.dtype in WHOLE}
    return sorted(left.keys() - whole), sorted(whole)


def _translated(file: StateFile, backbone: Backbone) -> dict[str, Tensor]:
    found = backbone.translate(file.tensors)
    if found is None:
        raise ConfigError(
            f"{file.where}: {type(backbone).__name__} knows no published weights; "
            "start from a run's with model.init_from"
        )
    return found


def _require_floats(where: str, every: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    for name in every.keys() & given.keys():
        dtype = given[name].dtype
        if every[name].is_floating_point() and dtype not in FLOATS:
            raise SourceError(
                f"{where}: tensor '{name}' holds {str(dtype).removeprefix('torch.')}, expected weights of 16, 32 or 64 "
                "bits; quantised ones have to be converted first"
            )


def _head_rows(
    file: StateFile, given: Mapping[str, Tensor], classes: LabelSpace | None
) -> dict[str, RowNames]:
    """What the rows of the head's parameters stand for; nothing where the caller does not say what the model's do."""
    if classes is None or "head.weight" not in given:
        return {}
    number = len(given["head.weight"])
    theirs = published_classes(number, classes.classes)
    if len(file.classes) == number:
        theirs = LabelSpace("file", file.classes)
    return {"head.weight": (theirs, classes), "head.bias": (theirs, classes)}


def check_share(where: str, own: Mapping[str, Tensor], filled: Collection[str]) -> None:
    """Refuses weights that fill less than half of the parameters.

    Args:
        where: they come from.
        own: the parameters, by name.
        filled: names of those that are filled.

    Raises:
        ConfigError: with the counts.
    """
    total = sum(value.numel() for value in own.values())
    part = sum(own[name].numel() for name in filled)
    if 2 * part < total:
        raise ConfigError(
            f"{where} fills {part:,} of {total:,} parameters ({len(filled)} of {len(own)} tensors), less than half; "
            f"is it another network's? Choose the backbone that it belongs to; {PARTIAL}"
        )


def check_depth(where: str, taken: Iterable[str], left: Iterable[str]) -> None:
    """Refuses weights that go on where the network ends: more layers of a kind that it takes.

    Parts of other kinds (heads, decoders, the rest of a detector) may be left over.

    Args:
        where: they come from.
        taken, left: their own names, of those that the network has and of those that it has not.

    Raises:
        ConfigError: with the count and the first ones.
    """
    kinds = {_kind(name) for name in taken}
    if more := [name for name in left if _kind(name) in kinds]:
        raise ConfigError(
            f"{where} is of a deeper network: {len(more)} weights of its further layers have no place in this one "
            f"({_some(more, 3)}); choose the backbone that it belongs to; {PARTIAL}"
        )


def _kind(name: str) -> str:
    """A name whatever the layer."""
    return ".".join("#" if word.isdecimal() else word for word in name.split("."))


def fitted_to(
    name: str,
    given: Shaped[Tensor, "..."] | None,
    own: Shaped[Tensor, "..."],
    backbone: Backbone | None = None,
    rows: RowNames | None = None,
    source: Backbone | None = None,
) -> Shaped[Tensor, "..."] | None:
    """Given weights in the shape of a parameter; None where they cannot be had.

    Args:
        name: the backbone's own, for what it can resize.
        given: the weights; None: there are none.
        own: the parameter.
        backbone: whose parameter it is, which may resize it; None: of no backbone.
        rows: classes of the given rows and of its own, where rows are classes.
        source: the backbone that the weights come from, where it is known.
    """
    if given is None:
        return None
    if rows is not None:
        return rows_by_name(own, given, rows)
    if backbone is None:
        return given if given.shape == own.shape else None
    fitted = backbone.resize(name, given, own.shape, source)
    is_same = given.shape == own.shape and (fitted is None or torch.equal(fitted, given.float()))
    return given if is_same else fitted


def fill(
    where: str,
    every: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    fitted: Mapping[str, Tensor | None],
    rows: Mapping[str, RowNames],
) -> LoadReport:
    """Copies fitted weights into parameters.

    Args:
        where: they come from.
        every: the parameters.
        given, fitted: the weights as they are, and in the parameters' shape.
        rows: what the rows of given weights and of parameters stand for, where they are taken by name.

    Raises:
        SourceError: naming the first one that holds what is no finite number; nothing is copied.
    """
    for name, value in fitted.items():
        if value is not None and not bool(torch.isfinite(value).all()):
            bad = int((~torch.isfinite(value)).sum())
            raise SourceError(
                f"{where}: tensor '{name}' holds {bad:,} values that are not finite; download it again, or use another"
            )
    left = {name: value for name, value in given.items() if name not in every}
    report = LoadReport()
    report.unused, report.indices = _weights_and_indices(left)
    for name, parameter in every.items():
        value = fitted.get(name)
        if value is None:
            report.fresh.append(name + _why_fresh(given.get(name), parameter, rows.get(name)))
            continue
        with torch.no_grad():
            parameter.copy_(value)
        (report.loaded if value is given[name] else report.resized).append(name)
    return report


def _why_fresh(given: Tensor | None, own: Tensor, rows: RowNames | None) -> str:
    """Why given weights were not taken, behind a name."""
    if given is None:
        return ""
    if rows is not None and rows[0] is None and len(given) == len(own):
        return " (the file does not name its classes)"
    if given.shape != own.shape:
        return f" {tuple(given.shape)} -> {tuple(own.shape)}"
    return "" if rows is None else " (no class of the same name)"
