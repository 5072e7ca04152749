"""`pvit predict`: what a trained network says about any video.

    prediction = predict("video.mp4", "RUN", Path("OUT"))

Writes predictions.json (top-k actions), overlay.mp4 and overlay.png: the input beside depth, normals, segmentation,
pose and boxes, whichever the network has a head for. The clip is sampled and cut exactly as in evaluation; actions are
summed over its views, maps are those of the centre crop.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8

from pvit_data.clips.view import Viewer, clip_of
from pvit_data.codecs.video import VideoInfo, decode_video, encode_video, survey
from pvit_data.errors import FormatError, SourceError
from pvit_data.looking import pictures as draw
from pvit_data.scoring.metrics.views import softmax
from pvit_data.storage.files import read_regular, regular_size, write_file
from pvit_model.network.inference import Inference
from pvit_model.network.pvit import PViT
from pvit_model.tasks import get_task
from pvit_model.tasks.base import Shown
from pvit_model.using.loading import load_model

MAX_BYTES = 4 << 30
SHEET_ROWS = 4
STRIP = 20
SHOWN_SIDE = 224
"""Least side of an overlay's panels, pixels: small networks' clips are enlarged to it."""


@dataclass(frozen=True)
class Ranked:
    """One class of the answer."""

    class_id: int
    name: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """A network's answer for one video.

    Args:
        video: its path, as given.
        info: length, rate, size.
        frames: frame numbers of the clip.
        actions: the likeliest classes, best first; empty for a network without actions.
        outputs: by target name, for the clip's predicted frames: depth (T', h, w) metres, normal (T', h, w, 3),
            `segm/<space>` (T', h, w) ids, pose3d (T', 25, 3), boxes (T', O, 4) cxcywh.
        shown: the frames that predictions belong to: the network's centre crop, at a size to look at.
        warnings: what was wrong with the video, in sentences.
    """

    video: str
    info: VideoInfo
    frames: list[int]
    actions: list[Ranked]
    outputs: dict[str, np.ndarray]
    shown: UInt8[np.ndarray, "t h w 3"]
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON values; maps are left to the overlay."""
        return {
            "video": self.video,
            "info": asdict(self.info),
            "frames": self.frames,
            "actions": [asdict(a) for a in self.actions],
            "outputs": {name: list(value.shape) for name, value in self.outputs.items()},
            "warnings": list(self.warnings),
        }


def read_video(path: str) -> tuple[bytes, VideoInfo]:
    """A video file's bytes and facts.

    Raises:
        SourceError: if it cannot be read as a video; the message says why.
    """
    try:
        size = regular_size(path)
        if size > MAX_BYTES:
            raise SourceError(
                f"{path}: {size / 2**30:.1f} GiB is more than the 4 GiB this reads; cut the video first"
            )
        data = read_regular(path, size)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SourceError(
            f"{path}: {reason}; expected a video file (mp4, webm, avi)", reason="missing-file"
        ) from None
    if not data:
        raise SourceError(f"{path}: the file is empty; expected a video (mp4, webm, avi)")
    try:
        return data, survey(data).info
    except FormatError as error:
        raise SourceError(
            f"{path}: {error}; expected a video (mp4, webm, avi) that FFmpeg can decode"
        ) from None


def _warnings(data: bytes) -> tuple[str, ...]:
    problem = survey(data).problem  # made by `read_video`, and kept
    if problem is None or problem.kind != "damaged-video":
        return ()
    return (f"the video is damaged: {problem.text}; what comes before was predicted",)


def make_views(
    data: bytes, info: VideoInfo, inference: Inference
) -> tuple[UInt8[np.ndarray, "v t h w 3"], UInt8[np.ndarray, "t H W 3"], list[int]]:
    """The evaluation views of a video, as the network's own hold-out was seen; the predicted frames of the centre crop
    as people like to see them; and the clip's frame numbers.
    """
    source = inference.clip.downstream
    viewer = Viewer(inference.clip.of_source(source), inference.clip.sampler(source))
    # The centre crop is always among the views: it is the one whose maps are drawn.
    number = inference.crops if inference.crops % 2 else inference.crops + 1
    pixels = decode_video(data, viewer.evaluation(info).distinct)
    info = replace(info, height=pixels.shape[1], width=pixels.shape[2])
    views = [viewer.evaluation(info, i, (1, number)) for i in range(number)]
    clips = [clip_of(pixels, view, viewer.config.antialias) for view in views]
    # The same crop, large enough to look at: small networks see few pixels.
    height, width = viewer.config.size
    factor = math.ceil(SHOWN_SIDE / min(height, width))
    large = viewer.config.model_copy(update={"size": (height * factor, width * factor)})
    centre = replace(viewer, config=large).evaluation(info, number // 2, (1, number))
    shown = clip_of(pixels, centre)[:: large.stride]
    return np.stack(clips), shown, centre.frames.tolist()


def normalised(
    views: UInt8[np.ndarray, "v t h w 3"], inference: Inference
) -> Float[torch.Tensor, "v 3 t h w"]:
    """Pixels as the network takes them."""
    mean, std = (
        torch.tensor(v).view(3, 1, 1, 1) for v in (inference.clip.mean, inference.clip.std)
    )
    return (torch.from_numpy(views).permute(0, 4, 1, 2, 3).float() / 255 - mean) / std


@torch.no_grad()
def run_network(
    model: PViT, inference: Inference, views: UInt8[np.ndarray, "v t h w 3"], device: str = "cpu"
) -> tuple[Float[np.ndarray, "k"] | None, dict[str, np.ndarray]]:
    """Mean class probabilities over the views, and each task's output on the centre view."""
    video = normalised(views, inference).to(device)
    centre = len(views) // 2
    scores = None
    if inference.action is not None:
        logits = np.concatenate([model(view[None]).logits.float().cpu().numpy() for view in video])
        scores = softmax(logits).mean(axis=0)
    tasks = model(video[centre : centre + 1], tasks="all").tasks if inference.tasks else {}
    return scores, first_outputs(tasks)


def first_outputs(tasks: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The first clip's answers by target name, in the layout of their targets."""
    found: dict[str, np.ndarray] = {}
    for name, value in tasks.items():
        if isinstance(value, Mapping):
            found |= {f"{name}/{space}": _answer(name, maps) for space, maps in value.items()}
        else:
            found[name] = _answer(name, value)
    return found


def _answer(task: str, prediction: torch.Tensor) -> np.ndarray:
    found = get_task(task).answer(prediction[:1].float())[0].cpu()
    return found.numpy()


def predict(
    video: str, model: str, out: Path | None = None, top: int = 5, device: str = "cpu"
) -> Prediction:
    """Predicts one video, and writes predictions.json, overlay.mp4 and overlay.png to `out`.

    Args:
        video: path of a video file.
        model: a run's folder, an exported folder, or a Hub id.
        out: folder to write to; None: nothing is written.
        top: number of classes to list.
        device: of the network.

    Raises:
        SourceError: if the video cannot be read.
        UsageError, FormatError: if the model cannot.

    Example:
        >>> best = predict("video.mp4", "RUN").actions[0]
        >>> f"{best.name}: {best.probability:.0%}"
        '...ish: ...%'
    """
    data, info = read_video(video)
    network, inference = load_model(model, device)
    try:
        views, shown, frames = make_views(data, info, inference)
    except FormatError as error:
        raise SourceError(f"{video}: {error}") from None
    scores, outputs = run_network(network, inference, views, device)
    actions = _ranked(scores, inference, top) if scores is not None else []
    prediction = Prediction(video, info, frames, actions, outputs, shown, _warnings(data))
    if out is not None:
        write_prediction(prediction, inference, out)
    return prediction


def _ranked(scores: Float[np.ndarray, "k"], inference: Inference, top: int) -> list[Ranked]:
    space = inference.action
    assert space is not None
    order = [int(i) for i in np.argsort(-scores, kind="stable") if i >= space.first][:top]
    return [Ranked(i, space.class_name(i), float(scores[i])) for i in order]


def write_prediction(prediction: Prediction, inference: Inference, out: Path) -> None:
    """Writes predictions.json, overlay.mp4 and overlay.png."""
    text = json.dumps(prediction.to_json(), indent=1, ensure_ascii=False)
    write_file(out / "predictions.json", text + "\n")
    frames = overlay_frames(prediction, inference)
    span = (
        prediction.info.num_frames / prediction.info.fps if prediction.info.fps else len(frames) / 2
    )
    # As long as the video (so that motion keeps its pace), but never a blur.
    rate = float(np.clip(len(frames) / span, 1.0, 12.0))
    write_file(out / "overlay.mp4", encode_video(np.stack(frames), fps=rate))
    rows = np.unique(np.linspace(0, len(frames) - 1, SHEET_ROWS).round().astype(int))
    write_file(out / "overlay.png", draw.png(np.concatenate([frames[i] for i in rows])))


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
        tiles = [draw.captioned(rgb[t], f"input, frame {number}", STRIP)]
        for name, values in prediction.outputs.items():
            task, shown = get_task(name), shown_frame(inference, name, values, rgb, t)
            tiles.append(draw.captioned(task.picture(shown), task.caption(shown), STRIP))
        strip = draw.grid([tiles])
        pictures.append(_even(draw.captioned(strip, title, STRIP + 4) if title else strip))
    return pictures


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
