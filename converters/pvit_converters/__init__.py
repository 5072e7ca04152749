"""Converters from raw datasets to PViT shards: what is needed to write one.

`Converter` and its neighbours say what a converter is, the readers take raw files that nobody vouches for. Names are
loaded when they are first used. Only what stands here, and `pvit_converters.simulate`, is public.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pvit_converters.base import Converter as Converter
    from pvit_converters.base import ConverterOptions as ConverterOptions
    from pvit_converters.base import Item as Item
    from pvit_converters.base import Listing as Listing
    from pvit_converters.base import SourceInfo as SourceInfo
    from pvit_converters.base import Unwanted as Unwanted
    from pvit_converters.layers import Base as Base
    from pvit_converters.layers import LayerConverter as LayerConverter
    from pvit_converters.layers import LayerInfo as LayerInfo
    from pvit_converters.raw.files import read_json as read_json
    from pvit_converters.raw.hdf5 import read_hdf5 as read_hdf5
    from pvit_converters.raw.images import read_image as read_image
    from pvit_converters.raw.listing import list_files as list_files
    from pvit_converters.raw.listing import list_folders as list_folders
    from pvit_converters.raw.listing import walk_files as walk_files
    from pvit_converters.raw.mat import MatFile as MatFile
    from pvit_converters.raw.video import Clip as Clip
    from pvit_converters.raw.video import read_clip as read_clip
    from pvit_data.sample.rights import Rights as Rights

_HOMES = {
    "Base": "layers",
    "Clip": "raw.video",
    "Converter": "base",
    "ConverterOptions": "base",
    "Item": "base",
    "LayerConverter": "layers",
    "LayerInfo": "layers",
    "Listing": "base",
    "MatFile": "raw.mat",
    "Rights": "base",
    "SourceInfo": "base",
    "Unwanted": "base",
    "list_files": "raw.listing",
    "list_folders": "raw.listing",
    "read_clip": "raw.video",
    "read_hdf5": "raw.hdf5",
    "read_image": "raw.images",
    "read_json": "raw.files",
    "walk_files": "raw.listing",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pvit_converters' has no attribute {name!r}")
    return getattr(import_module(f"pvit_converters.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
