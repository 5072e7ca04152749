"""`View`: which frames and which pixels of a video make one clip; the one road from a video to a clip.

A training view is drawn at random, an evaluation view is the published one. Whoever has the pixels of `View.distinct`
(the loader from a shard, a prediction from a file) gets the clip with `clip_of`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64, UInt8

from pvit_data.clips import transforms
from pvit_data.clips.about import About
from pvit_data.clips.config import ClipConfig
from pvit_data.clips.crops import evaluation_crop, training_crop, uncropped
from pvit_data.clips.frames import Sampler, choose
from pvit_data.clips.geometry import Geometry
from pvit_data.codecs.video import VideoInfo


@dataclass(frozen=True)
class View:
    """A clip that could be made of a video.

    Args:
        frames: frame numbers of the clip, (t,), ascending, repeated where the video is shorter.
        geometry: which pixels of them.
        is_training: whether it was drawn to train on.
    """

    frames: Int64[np.ndarray, "t"]
    geometry: Geometry
    is_training: bool = False

    @cached_property
    def _found(self) -> tuple[np.ndarray, np.ndarray]:
        distinct, order = np.unique(self.frames, return_inverse=True)
        return distinct, order.ravel()

    @property
    def distinct(self) -> Int64[np.ndarray, "n"]:
        """The frames to read."""
        return self._found[0]

    @property
    def order(self) -> Int64[np.ndarray, "t"]:
        """Which of the distinct frames each clip frame is."""
        return self._found[1]


@dataclass(frozen=True)
class Viewer:
    """Makes the views of one source's videos.

    Args:
        config: of its clips (`ClipConfig.of_source`).
        sampler: of its clips (`ClipConfig.sampler`).
        whole: evaluation views are whole frames, of sides that are multiples of it; 0: crops.
    """

    config: ClipConfig
    sampler: Sampler
    whole: int = 0

    def training(
        self, video: VideoInfo, flip: float, rng: np.random.Generator, about: About | None = None
    ) -> View:
        """Random frames and a random crop, mirrored with probability `flip`; `about`: what the sample says."""
        frames = self._frames(video, rng, (0, 1), about)
        geometry = training_crop((video.height, video.width), self.config, flip, rng)
        return View(frames, geometry, is_training=True)

    def evaluation(
        self,
        video: VideoInfo,
        index: int = 0,
        views: tuple[int, int] = (1, 1),
        about: About | None = None,
    ) -> View:
        """View `index` of `temporal x spatial` published ones: `index = temporal * views[1] + spatial`."""
        temporal, spatial = divmod(index, views[1])
        frames = self._frames(video, None, (temporal, views[0]), about)
        size = (video.height, video.width)
        if self.whole:
            return View(frames, uncropped(size, self.config, self.whole))
        return View(frames, evaluation_crop(size, self.config, spatial, views[1]))

    def _frames(
        self,
        video: VideoInfo,
        rng: np.random.Generator | None,
        view: tuple[int, int],
        about: About | None,
    ) -> Int64[np.ndarray, "t"]:
        about = about or About()
        part = range(video.num_frames) if about.within is None else about.within
        return part.start + choose(
            self.sampler,
            len(part),
            self.config.num_frames,
            rng,
            rate=self.config.rate,
            fps=video.fps,
            view=view,
            about=about.of_part(part.start),
            window_start=self.config.window_start,
        )


def clip_of(
    pixels: UInt8[np.ndarray, "n h w 3"], view: View, antialias: bool = True
) -> UInt8[np.ndarray, "t H W 3"]:
    """The clip of a view, from the whole pixels of its distinct frames."""
    window = transforms.cut(pixels, view.geometry)
    frames = transforms.resize(window, view.geometry, antialias)
    clip: UInt8[np.ndarray, "t H W 3"] = frames[view.order]
    return clip
