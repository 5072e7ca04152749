"""Anybody's videos and pictures: a folder per class, or a table that says what each file shows."""

from pvit_converters.videos.converter import VideosConverter
from pvit_converters.videos.options import VideosOptions

__all__ = ["VideosConverter", "VideosOptions"]
