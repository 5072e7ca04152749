"""The PViT shard format: samples, shards, index, mixing, loading.

Names are loaded when they are first used, so that `import pvit_data` stays fast and needs no heavy library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pvit_data.clip_config import ClipConfig
    from pvit_data.dataset import ShardDataset
    from pvit_data.dataset import open_dataset as open
    from pvit_data.errors import PvitError
    from pvit_data.labels import LabelSpace
    from pvit_data.loading import eval_loader, loader
    from pvit_data.manifest import SourceSpec
    from pvit_data.mixture import Mixture, MixtureSource
    from pvit_data.sample import Actions, Boxes, Camera, EncodedMedia, Sample
    from pvit_data.writer import ShardWriter

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
    "Actions": "sample",
    "Boxes": "sample",
    "Camera": "sample",
    "ClipConfig": "clip_config",
    "EncodedMedia": "sample",
    "LabelSpace": "labels",
    "Mixture": "mixture",
    "MixtureSource": "mixture",
    "PvitError": "errors",
    "Sample": "sample",
    "ShardDataset": "dataset",
    "ShardWriter": "writer",
    "SourceSpec": "manifest",
    "eval_loader": "loading",
    "loader": "loading",
    "open": "dataset",
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
