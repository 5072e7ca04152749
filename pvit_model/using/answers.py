"""What a network says about videos, and the files that say it: JSON, arrays, overlay, and a table of class scores."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from pvit_data.codecs.video import VideoInfo, encode_video
from pvit_data.looking import pictures as draw
from pvit_data.storage.files import replacing, utf8, write_file
from pvit_model.network.inference import Inference
from pvit_model.tasks import get_task
from pvit_model.tasks.base import Shown

SHEET_ROWS = 4
STRIP = 20
SHOWN_CLASSES = 2  # of a box
ARRAYS, SCORES = "predictions.npz", "scores.parquet"
OVERLAYS = ("overlay.mp4", "overlay.png")


@dataclass(frozen=True)
class Ranked:
    """One class of the answer."""

    class_id: int
    name: str
    probability: float


@dataclass(frozen=True)
class ScoredBoxes:
    """What a label says of the boxes of a sample.

    Args:
        frame: that they are in.
        xyxy: corners in [0, 1] of the whole picture.
        seen: the same in the centre crop, clipped.
        scores: of each box and class, in [0, 1]; classes of a box are independent.
        best: of each box the likeliest classes, best first.
    """

    frame: int
    xyxy: Float[np.ndarray, "n 4"]
    seen: Float[np.ndarray, "n 4"]
    scores: Float[np.ndarray, "n k"]
    best: list[list[Ranked]]

    def to_json(self) -> list[dict[str, Any]]:
        """JSON values of each box."""
        rows = zip(self.xyxy.tolist(), self.best, strict=True)
        return [
            {"frame": self.frame, "xyxy": box, "classes": [asdict(one) for one in best]}
            for box, best in rows
        ]


@dataclass(frozen=True)
class Prediction:
    """A network's answer for one video.

    Args:
        video: its path, as given; of a sample its key.
        info: length, rate, size.
        frames: frame numbers of the clip.
        actions: the likeliest classes, best first; empty for a network without actions.
        outputs: by target name, for the clip's predicted frames: depth (T', h, w) metres, normal (T', h, w, 3),
            `segm/<space>` (T', h, w) ids, pose3d (T', 25, 3), boxes (T', O, 4) cxcywh.
        shown: the frames that predictions belong to: the network's centre crop, at a size to look at; no frames where
            nobody asked for an overlay.
        warnings: what was wrong with the video, in sentences.
        scores: probability of every class by its id, (K,); None for a network without actions.
        stride: prediction t belongs to `frames[stride * t]`.
        crop: left, top, right and bottom, in pixels of the video, of what maps and boxes cover.
        name: of its folder among those of several videos.
        labels: what labels besides actions say, by name: of `pnr` the `frame` of the video, and its `seconds`.
        scored_boxes: what labels say of the boxes that a sample brings, by name (`persons`).
    """

    video: str
    info: VideoInfo
    frames: list[int]
    actions: list[Ranked]
    outputs: dict[str, np.ndarray]
    shown: UInt8[np.ndarray, "t h w 3"]
    warnings: tuple[str, ...] = ()
    scores: Float[np.ndarray, "k"] | None = None
    stride: int = 1
    crop: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    name: str = ""
    labels: dict[str, dict[str, float]] = field(default_factory=dict)
    scored_boxes: dict[str, ScoredBoxes] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON values; the arrays themselves are left to `predictions.npz`."""
        return {
            "video": self.video,
            "info": asdict(self.info),
            "frames": self.frames,
            "actions": [asdict(a) for a in self.actions],
            "outputs": {name: list(value.shape) for name, value in self.outputs.items()},
            "labels": self.labels,
            **(
                {"scored_boxes": {n: b.to_json() for n, b in self.scored_boxes.items()}}
                if self.scored_boxes
                else {}
            ),
            "warnings": list(self.warnings),
            "crop": list(self.crop),
            "arrays": {name: _described(name, value) for name, value in self.arrays().items()},
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """What `predictions.npz` holds, by name: `outputs`, the `output_frames` that they belong to, and `scores`.

        Of boxes `LABEL_xyxy` and `LABEL_scores`.
        """
        found = dict(self.outputs)
        for label, boxes in self.scored_boxes.items():
            found |= {f"{label}{CORNERS}": boxes.xyxy, f"{label}{BOX_SCORES}": boxes.scores}
        found["output_frames"] = np.asarray(self.frames[:: self.stride], np.int64)
        return found if self.scores is None else {**found, "scores": self.scores}

    def files(self, overlay: bool) -> tuple[str, ...]:
        """Names of what is written about it into its own folder, with the table of its scores."""
        scores = () if self.scores is None else (SCORES,)
        return (*(OVERLAYS if overlay else ()), "predictions.json", ARRAYS, *scores)


OTHERS: dict[str, tuple[tuple[str, ...], str]] = {
    "output_frames": (("frame",), "frame number in the video"),
    "scores": (("class id",), "probability, the mean over views"),
}
"""Axes and unit of arrays that are no task's."""


CORNERS, BOX_SCORES = "_xyxy", "_scores"
OF_BOXES: dict[str, tuple[tuple[str, ...], str]] = {
    CORNERS: (("box", "corner"), "x1 y1 x2 y2, shares of width and height of the video"),
    BOX_SCORES: (("box", "class"), "probability of each class by itself"),
}
"""The same of arrays of boxes, by the end of their name."""


def _described(name: str, value: Shaped[np.ndarray, "..."]) -> dict[str, Any]:
    of_boxes = next((told for end, told in OF_BOXES.items() if name.endswith(end)), None)
    if told := OTHERS.get(name, of_boxes):
        axes, unit = told
    else:
        axes, unit = get_task(name).axes, get_task(name).unit
    return {"shape": list(value.shape), "dtype": value.dtype.name, "axes": list(axes), "unit": unit}


def write_prediction(
    prediction: Prediction, inference: Inference, out: Path, overlay: bool = True
) -> None:
    """Writes predictions.json and predictions.npz, and where asked overlay.mp4 and overlay.png."""
    text = json.dumps(prediction.to_json(), indent=1, ensure_ascii=False)
    write_file(out / "predictions.json", text + "\n")
    packed = io.BytesIO()
    np.savez_compressed(packed, **prediction.arrays())  # type: ignore[arg-type]  # a stub's, of names
    write_file(out / ARRAYS, packed.getvalue())
    if overlay:
        _write_overlay(prediction, inference, out)
        return
    for name in OVERLAYS:  # of an earlier prediction
        (out / name).unlink(missing_ok=True)


def _write_overlay(prediction: Prediction, inference: Inference, out: Path) -> None:
    frames = overlay_frames(prediction, inference)
    span = (
        prediction.info.num_frames / prediction.info.fps if prediction.info.fps else len(frames) / 2
    )
    # As long as the video (so that motion keeps its pace), but never a blur.
    rate = float(np.clip(len(frames) / span, 1.0, 12.0))
    video, sheet = OVERLAYS
    write_file(out / video, encode_video(np.stack(frames), fps=rate))
    rows = np.unique(np.linspace(0, len(frames) - 1, SHEET_ROWS).round().astype(int))
    write_file(out / sheet, draw.png(np.concatenate([frames[i] for i in rows])))


def write_scores(
    path: Path, videos: list[str], scores: Iterable[Float[np.ndarray, "k"]], inference: Inference
) -> None:
    """Writes a table with a row for each video: `video`, then the probability of each class, a column by its name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    space = inference.action
    assert space is not None
    values = np.stack([*scores]).astype(np.float32)
    names = [space.class_name(i) for i in range(space.first, space.num_ids)]
    columns = [pa.array(values[:, i]) for i in range(space.first, space.num_ids)]
    shown = [utf8(video).decode() for video in videos]  # names of files need not be text
    table = pa.table([pa.array(shown, pa.string()), *columns], names=["video", *names])
    with replacing(path) as part, part.open("wb") as file:  # whose name Arrow could not encode
        pq.write_table(table, file, compression="zstd")


def overlay_frames(
    prediction: Prediction, inference: Inference
) -> list[UInt8[np.ndarray, "h w 3"]]:
    """One picture per predicted frame: input and outputs side by side, with captions; all of one even size."""
    rgb = prediction.shown
    best = prediction.actions[0] if prediction.actions else None
    title = f"{100 * best.probability:.1f}% {best.name}" if best else ""
    pictures = []
    for t in range(len(rgb)):
        number = prediction.frames[t * inference.clip.stride]
        tiles = [draw.captioned(rgb[t], f"input, frame {number}", STRIP, legend=())]
        for name, values in prediction.outputs.items():
            task, shown = get_task(name), shown_frame(inference, name, values, rgb, t)
            tiles.append(task.panel(shown, height=STRIP))
        tiles += [
            _box_tile(label, boxes, prediction, rgb)
            for label, boxes in prediction.scored_boxes.items()
        ]
        strip = draw.grid([tiles])
        pictures.append(_even(draw.captioned(strip, title, STRIP + 4) if title else strip))
    return pictures


def _box_tile(
    label: str, boxes: ScoredBoxes, prediction: Prediction, rgb: UInt8[np.ndarray, "t h w 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    """The boxes over the frame nearest to theirs, with the best classes of each."""
    frames = np.asarray(prediction.frames[:: prediction.stride])
    nearest = int(np.argmin(np.abs(frames - boxes.frame)))
    texts = [
        ", ".join(f"{one.name} {100 * one.probability:.0f}%" for one in best[:SHOWN_CLASSES])
        for best in boxes.best
    ]
    picture = draw.draw_boxes(rgb[nearest], boxes.seen, texts)
    return draw.captioned(picture, f"{label}, frame {boxes.frame}", STRIP, legend=())


def shown_frame(
    inference: Inference,
    target: str,
    values: Shaped[np.ndarray, "t ..."],
    rgb: UInt8[np.ndarray, "t h w 3"],
    frame: int,
) -> Shown:
    """One frame of a clip's answers, or of its target, to be drawn.

    Args:
        values: of all predicted frames.
        rgb: those frames.
        frame: which of them.
    """
    return Shown(
        target=target,
        value=values[frame],
        whole=values,
        rgb=rgb[frame],
        clip=inference.clip,
        space=inference.space_of(target),
    )


def _even(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """4:2:0 video needs even sides."""
    height, width = picture.shape[:2]
    return np.pad(picture, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")
