"""The PViT shard format: samples, shards, index, mixing, loading.

Names are loaded when they are first used, so that `import pvit_data` stays fast and needs no heavy library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pvit_data.clips.config import ClipConfig
    from pvit_data.errors import PvitError
    from pvit_data.format.manifest import SourceSpec
    from pvit_data.loading.loader import eval_loader, loader
    from pvit_data.mixing.mixture import Mixture
    from pvit_data.mixing.sources import MixtureSource
    from pvit_data.reading.dataset import ShardDataset
    from pvit_data.reading.dataset import open_dataset as open
    from pvit_data.sample.labels import LabelSpace
    from pvit_data.sample.sample import Actions, Boxes, Camera, EncodedMedia, Sample
    from pvit_data.writing.writer import ShardWriter

__all__ = [
    "Actions",
    "Boxes",
    "Camera",
    "ClipConfig",
    "EncodedMedia",
    "LabelSpace",
    "Mixture",
    "MixtureSource",
    "PvitError",
    "Sample",
    "ShardDataset",
    "ShardWriter",
    "SourceSpec",
    "eval_loader",
    "loader",
    "open",
    "testing",
]

_HOMES = {
    "Actions": "sample.sample",
    "Boxes": "sample.sample",
    "Camera": "sample.sample",
    "ClipConfig": "clips.config",
    "EncodedMedia": "sample.sample",
    "LabelSpace": "sample.labels",
    "Mixture": "mixing.mixture",
    "MixtureSource": "mixing.sources",
    "PvitError": "errors",
    "Sample": "sample.sample",
    "ShardDataset": "reading.dataset",
    "ShardWriter": "writing.writer",
    "SourceSpec": "format.manifest",
    "eval_loader": "loading.loader",
    "loader": "loading.loader",
    "open": "reading.dataset",
}


def __getattr__(name: str) -> Any:
    if name == "testing":
        return import_module("pvit_data.testing")
    if name not in _HOMES:
        raise AttributeError(f"module 'pvit_data' has no attribute {name!r}")
    module = import_module(f"pvit_data.{_HOMES[name]}")
    return getattr(module, "open_dataset" if name == "open" else name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
