"""What a conversion is: everything that decides its shards, and must be equal for a conversion to continue another.

The converter counts by its name and version, wherever its class lives.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pvit_converters.base import Converter, ConverterOptions
from pvit_converters.engine.plan import Settings, digest
from pvit_converters.layers import LayerConverter
from pvit_data.errors import UsageError
from pvit_data.format.manifest import BaseRef
from pvit_data.format.names import LAYERS
from pvit_data.storage.files import is_litter, open_regular
from pvit_data.words import short

PLAN_VERSION = 1


def make_identity(converter: Converter[Any], settings: Settings) -> dict[str, Any]:
    """What must be equal for a conversion to continue an earlier one."""
    return _of_source(converter, settings) | _of_layer(converter)


def _of_layer(converter: Converter[Any]) -> dict[str, Any]:
    """What is said of a layer besides; its shards are those of its base, whose hashes each of them names."""
    if not isinstance(converter, LayerConverter):
        return {}
    info = converter.layer()
    later = {*BaseRef.later}  # which older plans do not have
    base = BaseRef.of(converter.base.rows.spec).model_dump(mode="json", exclude=later)
    folder = f"{LAYERS}/{info.name or converter.info.name}"
    return {"source": folder, "layer": {"kind": info.kind, "base": base}}


def _of_source(converter: Converter[Any], settings: Settings) -> dict[str, Any]:
    anew = {} if settings.reencoding is None else {"reencode": str(settings.reencoding)}
    return {
        "plan": PLAN_VERSION,
        "source": converter.source().name,
        "converter": converter.info.name,
        "converter_version": converter.version,
        "options": portable_options(converter.options),
        "shard_bytes": settings.shard_bytes,
        "holdout": settings.holdout,
        "limit": settings.limit,
        "filters": list(settings.filters),
        "encodings": dict(sorted(settings.encodings.items())),
        **anew,
        **converter.identity(),
    }


def portable_options(options: BaseModel) -> dict[str, Any]:
    """Options as JSON values; a path is replaced by a hash of what lies there, so that it may be another machine's.

    Of raw data nothing is told, wherever they lie.
    """
    raw = options.raw if isinstance(options, ConverterOptions) else frozenset()
    values = options.model_dump(mode="json", exclude=set(raw))
    for name in values:
        if isinstance(value := getattr(options, name), Path):
            values[name] = _content_of(value)
    return values


def _content_of(path: Path) -> str:
    if path.is_dir():
        listing = sorted(
            (p.name, p.stat().st_size)
            for p in path.iterdir()
            if p.is_file() and not is_litter(p.name)
        )
        return f"folder:{digest(json.dumps(listing))[:16]}"
    if path.is_file():
        with open(open_regular(path), "rb") as file:
            return f"file:{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"
    return f"missing:{path.name}"


def fingerprint(identity: Mapping[str, Any]) -> str:
    """Hash of an identity as it stands in the plan; receipts carry it."""
    return digest(json.dumps(identity, sort_keys=True))[:16]


def require_equal(
    old: Mapping[str, Any], new: Mapping[str, Any], where: str, ignoring: Collection[str] = ()
) -> None:
    """Refuses to continue a conversion under other settings.

    Args:
        old, new: identities of the plans.
        where: the dataset, for the message.
        ignoring: settings and options that may differ.

    Raises:
        UsageError: naming every setting that differs, with both values.
    """
    differences = {
        name: _told(a, b)
        for name, a, b in _differences(_renamed(old), _renamed(new))
        if name not in ignoring
    }
    if [*differences] == ["classes"]:
        raise UsageError(
            f"{where}: the classes are not those that it was made with ({differences['classes']}), so class ids would "
            "change; correct the labels, use another folder, or --overwrite to convert the source again"
        )
    if differences:
        told = "; ".join(f"{name}: {values}" for name, values in differences.items())
        raise UsageError(
            f"{where} was made with other options ({told}); use the same ones, another folder, or "
            "--overwrite to convert the source again"
        )


def _told(a: Any, b: Any) -> str:
    """Both values; of lists what is in one of them only, or the first place at which they differ."""
    if not (isinstance(a, list) and isinstance(b, list)):
        return f"{a!r} there, {b!r} now"
    gone, new = [v for v in a if v not in b], [v for v in b if v not in a]
    if not gone and not new and len(a) == len(b):
        place = next(n for n, (one, other) in enumerate(zip(a, b, strict=True)) if one != other)
        return f"number {place + 1} is {short(a[place])} there, {short(b[place])} now"
    if not gone and not new:
        return f"{len(a)} there, {len(b)} now"
    told = [f"{short(gone)} is gone"] if gone else []
    return " and ".join([*told, f"{short(new)} is new"] if new else told)


def _renamed(identity: Mapping[str, Any]) -> Mapping[str, Any]:
    """With the converter's name in place of the class (`module:Class`) that older plans hold."""
    name = identity.get("converter")
    if not isinstance(name, str) or ":" not in name:
        return identity
    return {**identity, "converter": identity.get("source")}


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[tuple[str, Any, Any]]:
    for name in sorted({*old, *new}):
        a, b = old.get(name), new.get(name)
        if a == b:
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from _differences(a, b)
        else:
            yield name, a, b
