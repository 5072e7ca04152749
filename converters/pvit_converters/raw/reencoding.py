"""Pictures that are made smaller on their way into the shards: shorter sides, key frames nearer together, a lower rate.

Frames and sizes must stay what annotations of single frames were made for; so a source that has such takes another
distance of key frames only.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from pvit_data.errors import FormatError, UsageError
from pvit_data.format.members import LABELS, RGB
from pvit_data.sample.limits import MAX_PIXELS
from pvit_data.sample.sample import EncodedMedia, Sample
from pvit_data.words import did_you_mean

WHOLE_CLIP = LABELS | {RGB}
"""Fields that hold for a clip, whatever its frames and size."""
REENCODED = "reencoded"
"""Under which `meta` says what the pictures were."""
_SHORTEST, _MAX_GOP, _MAX_FPS = 16, 1000, 1000.0


@dataclass(frozen=True)
class Reencoding:
    """How pictures are encoded anew.

    Args:
        short_side: of the pictures in pixels, where they are larger; 0: as they are.
        gop: largest distance of key frames; 0: 16 up to 64 frames, else 32.
        fps: of videos with a higher rate; 0: as it is.
    """

    short_side: int = 0
    gop: int = 0
    fps: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Reencoding:
        """From `short-side=320,gop=16,fps=15`, some of them.

        Raises:
            UsageError: naming what is none of these, or no such number.
        """
        values: dict[str, Any] = {}
        for part in text.split(","):
            name, _, value = part.strip().partition("=")
            if name not in _RANGES:
                raise UsageError(
                    f"--reencode {text}: expected some of short-side=320,gop=16,fps=15, "
                    f"not '{part.strip()}'{did_you_mean(name, _RANGES)}"
                )
            values[name.replace("-", "_")] = _number(text, name, value)
        return cls(**values)

    def __str__(self) -> str:
        given = {"short-side": self.short_side, "gop": self.gop, "fps": self.fps}
        return ",".join(f"{name}={value:g}" for name, value in given.items() if value)

    def require_fit(self, source: str, produces: Collection[str]) -> None:
        """Refuses other sizes and rates where annotations of single frames would no longer fit.

        Raises:
            UsageError: naming the annotations.
        """
        annotated = [name for name in produces if name not in WHOLE_CLIP]
        if annotated and (self.short_side or self.fps):
            raise UsageError(
                f"--reencode {self}: {source} annotates single frames ({', '.join(annotated)}), which would not fit "
                "other sizes and rates; only gop=N is possible here"
            )


_RANGES = {"short-side": (_SHORTEST, MAX_PIXELS), "gop": (1, _MAX_GOP), "fps": (0.1, _MAX_FPS)}


def _number(text: str, name: str, value: str) -> float | int:
    low, high = _RANGES[name]
    try:
        number = float(value) if name == "fps" else int(value)
    except ValueError:
        number = 0
    if not low <= number <= high:
        raise UsageError(f"--reencode {text}: {name} is '{value}', expected {low:g} to {high:g}")
    return number


def reencode(sample: Sample, how: Reencoding) -> None:
    """Encodes the pictures of a sample anew; `meta["reencoded"]` says what they were.

    Stills only get smaller. A sample without pictures stays as it is.

    Raises:
        FormatError: if its pictures do not decode.
    """
    if sample.rgb is None:
        return
    after: _Encoded | None
    if isinstance(sample.rgb, EncodedMedia) and sample.rgb.extension != "jpg":
        before, after = _video(sample.rgb, how)
    else:
        before, after = _pictures(sample, how)
    if after is None:
        return
    sample.rgb, told = after.media, after.facts
    sample.num_frames, sample.height, sample.width = after.num_frames, after.height, after.width
    if how.fps:
        sample.fps, sample.frame_times = after.fps, None
    sample.meta |= {name: told[name] for name in told if name in sample.meta}
    sample.meta[REENCODED] = {"from": before, "to": str(how)}


@dataclass(frozen=True)
class _Encoded:
    """Pictures as they are stored."""

    media: EncodedMedia
    num_frames: int
    fps: float
    height: int
    width: int

    @property
    def facts(self) -> dict[str, Any]:
        """What is told of them in `meta`."""
        names = ("num_frames", "fps", "height", "width")
        return {name: getattr(self, name) for name in names}


def _video(media: EncodedMedia, how: Reencoding) -> tuple[dict[str, Any], _Encoded]:
    from pvit_data.codecs.video import encode_part, survey

    found = survey(media.data)
    if found.problem and found.problem.kind == "damaged-video":
        raise FormatError(f"video is damaged: {found.problem.text}")
    was = found.info
    facts = {"codec": found.codec, "bytes": len(media.data)}
    before = _Encoded(media, was.num_frames, was.fps, was.height, was.width).facts | facts
    data, info = encode_part(
        media.data,
        range(was.num_frames),
        short_side=how.short_side,
        gop=how.gop,
        fps=how.fps,
        checked=False,
    )
    after = EncodedMedia(data, "mp4")
    return before, _Encoded(after, info.num_frames, info.fps, info.height, info.width)


def _pictures(sample: Sample, how: Reencoding) -> tuple[dict[str, Any], _Encoded | None]:
    """Of pictures that are decoded already, and of stills."""
    from pvit_data.codecs.still import decode_still, encode_still
    from pvit_data.codecs.video.encode import encode_pictures, usual_gop
    from pvit_data.codecs.video.part import shrunk, thinned

    facts: dict[str, Any] = {"codec": "", "bytes": 0}
    rgb = sample.rgb
    if isinstance(rgb, EncodedMedia):
        facts = {"codec": "jpg", "bytes": len(rgb.data)}
        rgb = decode_still(rgb.data)[None]
    assert rgb is not None
    frames: UInt8[np.ndarray, "t h w 3"] = rgb
    size = frames.shape[1:3]
    before = {"num_frames": len(frames), "fps": sample.fps, "height": size[0], "width": size[1]}
    before |= facts
    if len(frames) == 1:
        if not 0 < how.short_side < min(size):
            return before, None
        still = shrunk(frames[0], how.short_side)
        media = EncodedMedia(encode_still(still), "jpg")
        return before, _Encoded(media, 1, sample.fps, *still.shape[:2])
    picks, rate = thinned(range(len(frames)), sample.fps, how.fps)
    first = shrunk(frames[0], how.short_side)
    pictures = (shrunk(frames[n], how.short_side) for n in picks)
    height, width = first.shape[:2]
    gop = how.gop or usual_gop(len(picks))
    media = EncodedMedia(encode_pictures(pictures, (height, width), rate, gop), "mp4")
    return before, _Encoded(media, len(picks), rate, height, width)


def saving(sample: Sample) -> dict[str, int]:
    """Of a sample that was encoded anew: 1 sample, its bytes before and after; {} where these are not known."""
    before = sample.meta.get(REENCODED, {}).get("from", {}).get("bytes", 0)
    if not before or not isinstance(sample.rgb, EncodedMedia):
        return {}
    return {"samples": 1, "before": before, "after": len(sample.rgb.data)}
