"""The PViT shard format: samples, shards, index, mixing, loading.

What is public is listed in `__all__`, and nothing else: the rooms inside may change. Names are loaded when they are
first used, so that `import pvit_data` stays fast and needs no heavy library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the names of `_HOMES` for type checkers
    from pvit_data import decoders as decoders
    from pvit_data import errors as errors
    from pvit_data import testing as testing
    from pvit_data import tv as tv
    from pvit_data import validate as validate
    from pvit_data.bridges.pipeline import as_webdataset as as_webdataset
    from pvit_data.bridges.table import as_hf as as_hf
    from pvit_data.clips.config import ClipConfig as ClipConfig
    from pvit_data.errors import PvitError as PvitError
    from pvit_data.format.manifest import SourceSpec as SourceSpec
    from pvit_data.loading.batch import Batch as Batch
    from pvit_data.loading.batch import Targets as Targets
    from pvit_data.loading.loader import eval_loader as eval_loader
    from pvit_data.loading.loader import loader as loader
    from pvit_data.looking import pictures as pictures
    from pvit_data.mixing.mixture import Mixture as Mixture
    from pvit_data.mixing.sources import MixtureSource as MixtureSource
    from pvit_data.reading.dataset import ShardDataset as ShardDataset
    from pvit_data.reading.open import open_dataset
    from pvit_data.sample.labels import LabelSpace as LabelSpace
    from pvit_data.sample.sample import Actions as Actions
    from pvit_data.sample.sample import Boxes as Boxes
    from pvit_data.sample.sample import Camera as Camera
    from pvit_data.sample.sample import EncodedMedia as EncodedMedia
    from pvit_data.sample.sample import Sample as Sample
    from pvit_data.storage.cache import Cache as Cache
    from pvit_data.tasks.table import TargetSpec as TargetSpec
    from pvit_data.tasks.table import map_shapes as map_shapes
    from pvit_data.tasks.target import Target as Target
    from pvit_data.tasks.target import at_frames as at_frames
    from pvit_data.writing.writer import ShardWriter as ShardWriter

    open = open_dataset

_HOMES = {
    "Actions": "sample.sample:Actions",
    "Batch": "loading.batch:Batch",
    "Boxes": "sample.sample:Boxes",
    "Cache": "storage.cache:Cache",
    "Camera": "sample.sample:Camera",
    "ClipConfig": "clips.config:ClipConfig",
    "EncodedMedia": "sample.sample:EncodedMedia",
    "LabelSpace": "sample.labels:LabelSpace",
    "Mixture": "mixing.mixture:Mixture",
    "MixtureSource": "mixing.sources:MixtureSource",
    "PvitError": "errors:PvitError",
    "Sample": "sample.sample:Sample",
    "ShardDataset": "reading.dataset:ShardDataset",
    "ShardWriter": "writing.writer:ShardWriter",
    "SourceSpec": "format.manifest:SourceSpec",
    "Target": "tasks.target:Target",
    "TargetSpec": "tasks.table:TargetSpec",
    "Targets": "loading.batch:Targets",
    "at_frames": "tasks.target:at_frames",
    "as_hf": "bridges.table:as_hf",
    "as_webdataset": "bridges.pipeline:as_webdataset",
    "decoders": "decoders",
    "errors": "errors",
    "eval_loader": "loading.loader:eval_loader",
    "loader": "loading.loader:loader",
    "map_shapes": "tasks.table:map_shapes",
    "open": "reading.open:open_dataset",
    "pictures": "looking.pictures",
    "testing": "testing",
    "tv": "tv",
    "validate": "validate",
}
"""Where each public name lives: a module, or a name in one."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("pvit-toolkit")
    if name not in _HOMES:
        raise AttributeError(f"module 'pvit_data' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    home = import_module(f"pvit_data.{module}")
    return getattr(home, attribute) if attribute else home


def __dir__() -> list[str]:
    return list(__all__)
