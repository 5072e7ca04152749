"""`pvit predict`: what a trained network says about any video.

    prediction = predict("video.mp4", "RUN", Path("OUT"))
    for prediction in predict_many(["videos/", "more/*.mp4"], "RUN", Path("OUT")):
        print(prediction.video, prediction.actions[0].name)

The clip is sampled and cut exactly as in evaluation; actions are summed over its views, maps are those of the centre
crop. See `answers` for what is written.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from pvit_data.clips.about import About
from pvit_data.clips.view import View, Viewer, clip_of
from pvit_data.codecs.video import VideoInfo, survey
from pvit_data.errors import FormatError, SourceError, UsageError
from pvit_data.loading.threads import Threads, threads
from pvit_data.scoring.metrics.views import softmax
from pvit_data.tasks.table import is_by_box
from pvit_model.network.inference import Inference
from pvit_model.network.pvit import PViT
from pvit_model.tasks import get_task
from pvit_model.using.answers import SCORES, Prediction, Ranked, write_prediction, write_scores
from pvit_model.using.given_boxes import (
    GivenBoxes,
    fields_of_boxes,
    given_boxes,
    rois_of_batch,
    scored,
)
from pvit_model.using.loading import load_model
from pvit_model.using.videos import STILL, Video, find_videos, frames_of, read_video

BATCH = 16
SHOWN_SIDE = 224
"""Least side of an overlay's panels, pixels: small networks' clips are enlarged to it."""


@dataclass(frozen=True)
class Views:
    """A video as the network will see it.

    Args:
        pixels: its views.
        shown: the predicted frames of the centre crop, as people like to see them; none where nobody asked.
        frames: the clip's frame numbers.
        crop: left, top, right and bottom of the centre crop, in pixels of the video.
        centre: frames and pixels of the centre crop.
    """

    pixels: UInt8[np.ndarray, "v t h w 3"]
    shown: UInt8[np.ndarray, "t H W 3"]
    frames: list[int]
    crop: tuple[float, float, float, float]
    centre: View


@dataclass(frozen=True)
class _Seen:
    """A video that was read."""

    video: Video
    info: VideoInfo
    views: Views
    warnings: tuple[str, ...]
    boxes: Mapping[str, GivenBoxes]


def _warnings(data: bytes) -> tuple[str, ...]:
    problem = (
        None if data.startswith(STILL) else survey(data).problem
    )  # made by `read_video`, and kept
    if problem is None or problem.kind != "damaged-video":
        return ()
    return (f"the video is damaged: {problem.text}; what comes before was predicted",)


def make_views(
    data: bytes,
    info: VideoInfo,
    inference: Inference,
    with_shown: bool = True,
    about: About | None = None,
) -> Views:
    """The evaluation views of a video, as the network's own hold-out was seen; `about`: what a sample says.

    Raises:
        FormatError: if its frames do not decode.
    """
    source = inference.clip.downstream
    viewer = Viewer(inference.clip.of_source(source), inference.clip.sampler(source))
    # The centre crop is always among the views: it is the one whose maps are drawn.
    number = inference.num_crops if inference.num_crops % 2 else inference.num_crops + 1
    pixels = frames_of(data, viewer.evaluation(info, about=about).distinct)
    info = replace(info, height=pixels.shape[1], width=pixels.shape[2])
    views = [viewer.evaluation(info, i, (1, number), about) for i in range(number)]
    clips = [clip_of(pixels, view, viewer.config.antialias) for view in views]
    height, width = viewer.config.size
    shown = np.zeros((0, height, width, 3), np.uint8)
    if with_shown:  # the same crop, large enough to look at: small networks see few pixels
        factor = math.ceil(SHOWN_SIDE / min(height, width))
        large = viewer.config.model_copy(update={"size": (height * factor, width * factor)})
        centre = replace(viewer, config=large).evaluation(info, number // 2, (1, number), about)
        shown = clip_of(pixels, centre)[:: large.stride]
    middle = views[number // 2]
    return Views(np.stack(clips), shown, middle.frames.tolist(), _region(middle), middle)


def _region(view: View) -> tuple[float, float, float, float]:
    """What of the video a view shows: left, top, right, bottom in its pixels."""
    height, width = view.geometry.size
    corners = np.array([[0, width], [0, height], [1, 1]], np.float64)
    (left, right), (top, bottom), _ = (np.linalg.inv(view.geometry.matrix()) @ corners).tolist()
    return left, top, right, bottom


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
    model: PViT,
    inference: Inference,
    views: Sequence[UInt8[np.ndarray, "v t h w 3"]],
    device: str = "cpu",
    given: Sequence[Mapping[str, GivenBoxes]] = (),
) -> tuple[Float[np.ndarray, "b k"] | None, list[dict[str, np.ndarray]]]:
    """Of each video the mean class probabilities over its views, and each task's output on its centre view.

    Args:
        given: boxes of each video that are scored, by label; its outputs then have the logits of each.
    """
    number, videos = len(views[0]), len(views)
    video = normalised(np.concatenate(views), inference).to(device)
    video = video.view(videos, number, *video.shape[1:])
    middle = number // 2
    rois = rois_of_batch(given, device)
    asked = (*inference.tasks, *told_labels(inference), *rois)
    out = model(video[:, middle], tasks=asked, rois=rois)
    told = {name: value for name, value in out.tasks.items() if name not in rois}
    answers = {name: value.cpu().numpy() for name, value in outputs(told).items()}
    each = [{name: value[i] for name, value in answers.items()} for i in range(videos)]
    for label, places in rois.items():
        logits = out.tasks[label].float().cpu().numpy()
        for number in (i for i, boxes in enumerate(given) if label in boxes):
            each[number][label] = logits[(places[:, 0] == number).cpu().numpy()]
    if inference.action is None:
        return None, each
    others = [place for place in range(number) if place != middle]
    logits = [out.logits[:, None]]
    if others:
        rest = model(video[:, others].flatten(0, 1), tasks=()).logits
        logits.append(rest.view(videos, len(others), -1))
    scores = torch.cat(logits, 1).float().cpu().numpy()
    return softmax(scores.reshape(videos * number, -1)).reshape(scores.shape).mean(axis=1), each


def told_labels(inference: Inference) -> tuple[str, ...]:
    """The labels besides actions that a video alone is enough for: no boxes have to be given."""
    return tuple(label for label in inference.labels if not is_by_box(label))


def _untold(inference: Inference, given: Collection[str] = ()) -> list[str]:
    """What is left out, and why; not labels of which boxes are given."""
    left_out = set(inference.labels) - set(told_labels(inference)) - set(given)
    return [
        f"{label} are not predicted: the network scores boxes that are given, which a video does not bring; give "
        "shards with boxes"
        for label in sorted(left_out)
    ]


def require_answers(inference: Inference, model: str) -> None:
    """Refuses a network that says nothing of a video alone.

    Raises:
        UsageError: with what it needs.
    """
    has_others = inference.action is not None or inference.tasks or told_labels(inference)
    if (untold := _untold(inference)) and not has_others:
        raise UsageError(f"{model}: {'; '.join(untold)}")


def outputs(tasks: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The answers by target name, in the layout of their targets."""
    found: dict[str, torch.Tensor] = {}
    for name, value in tasks.items():
        if isinstance(value, Mapping):
            found |= {
                f"{name}/{space}": get_task(name).answer(maps.float())
                for space, maps in value.items()
            }
        else:
            found[name] = get_task(name).answer(value.float())
    return found


def first_outputs(tasks: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The first clip's answers by target name, in the layout of their targets."""
    return {name: value[0].cpu().numpy() for name, value in outputs(tasks).items()}


def predict(
    video: str,
    model: str,
    out: Path | None = None,
    top: int = 5,
    device: str = "cpu",
    overlay: bool = True,
) -> Prediction:
    """Predicts one video, and writes predictions.json, predictions.npz, scores.parquet and the overlay to `out`.

    Args:
        video: path of a video file, or of a photo (JPEG, PNG).
        model: a run's folder, an exported folder, or a Hub id.
        out: folder to write to; None: nothing is written.
        top: number of classes to list.
        device: of the network.
        overlay: make overlay.mp4 and overlay.png, and `Prediction.shown`.

    Raises:
        SourceError: if the video cannot be read.
        UsageError, FormatError: if the model cannot.

    Example:
        >>> best = predict("video.mp4", "RUN").actions[0]
        >>> f"{best.name}: {best.probability:.0%}"
        '...ish: ...%'
    """
    one = Video(video, "", partial(read_video, video))
    (found,) = _predicted([one], model, out, top, device, overlay, None)
    return found


def predict_many(
    places: Sequence[str],
    model: str,
    out: Path | None = None,
    *,
    top: int = 5,
    device: str = "cpu",
    overlay: bool = False,
    source: str | None = None,
    split: str | None = None,
    layers: Sequence[str] = (),
    skip: Callable[[str, str], object] | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Iterator[Prediction]:
    """Predicts many videos with a network that is loaded once, in batches; each as soon as it is known.

    With `out`, each video has a folder there, `OUT/NAME` (`Prediction.name`), and `OUT/scores.parquet` has a row for
    each. It is written when the last one is known.

    Args:
        places: files, folders, patterns such as `"day1/*.mp4"`, folders and URLs with shards.
        model, top, device, overlay: see `predict`.
        out: folder to write to; None: nothing is written.
        source, split, layers: which samples of shards, with which layers; their boxes are scored by a network that
            does so (`persons`).
        skip: told of each video that cannot be read, and why; None: it is an error.
        progress: told how many of how many are done.

    Raises:
        SourceError: if there is no video, or one cannot be read and nobody is told instead.
        UsageError, FormatError: if there is no model.

    Example:
        >>> for prediction in predict_many(["video.mp4", "shards"], "RUN", split="val"):
        ...     print(len(prediction.actions), sorted(prediction.outputs)[:2])
        3 ['boxes', 'depth']
        ...
    """
    videos = find_videos(places, source, split, layers)
    return _predicted(videos, model, out, top, device, overlay, skip, progress)


def _predicted(
    videos: Sequence[Video],
    model: str,
    out: Path | None,
    top: int,
    device: str,
    overlay: bool,
    skip: Callable[[str, str], object] | None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Iterator[Prediction]:
    network, inference = load_model(model, device)
    if all(video.sample is None for video in videos):
        require_answers(inference, model)
    names: list[str] = []
    scores: list[np.ndarray] = []
    done = 0
    progress(0, len(videos))
    with closing(
        _read_ahead(videos, partial(_see, inference=inference, overlay=overlay), skip)
    ) as seen:
        while batch := list(islice(seen, BATCH)):
            shares, answers = run_network(
                network,
                inference,
                [s.views.pixels for s in batch],
                device,
                [s.boxes for s in batch],
            )
            for place, one in enumerate(batch):
                share = None if shares is None else shares[place]
                prediction = _prediction(one, inference, share, answers[place], top)
                if out is not None:
                    write_prediction(prediction, inference, out / one.video.name, overlay)
                if share is not None:
                    names.append(prediction.video)
                    scores.append(share)
                done += 1
                progress(done, len(videos))
                yield prediction
    if out is not None and scores:
        write_scores(out / SCORES, names, scores, inference)


def _see(video: Video, inference: Inference, overlay: bool) -> _Seen:
    data, info = video.read()
    fields = fields_of_boxes(inference)
    try:
        sample = video.sample(fields) if video.sample is not None and fields else None
        about = None if sample is None else About.of(sample.meta)
        views = make_views(data, info, inference, overlay, about)
    except FormatError as error:
        raise SourceError(f"{video.where}: {error}") from None
    boxes = {} if sample is None else given_boxes(sample, views.centre, inference)
    return _Seen(video, info, views, _warnings(data), boxes)


def _read_ahead(
    videos: Sequence[Video],
    see: Callable[[Video], _Seen],
    skip: Callable[[str, str], object] | None,
) -> Generator[_Seen]:
    """The videos that can be read, in order; the next ones are read while the network works."""
    several = threads(len(videos))
    pool = Threads(several, "pvit-predict")
    coming: deque[tuple[Video, Callable[[], _Seen]]] = deque()
    waiting = iter(videos)
    try:
        while True:
            for video in islice(waiting, 2 * BATCH - len(coming) if several > 1 else 1):
                make = partial(see, video)
                coming.append((video, pool.submit(make).result if several > 1 else make))
            if not coming:
                return
            video, take = coming.popleft()
            try:
                yield take()
            except (FormatError, SourceError) as error:
                if skip is None:
                    raise
                skip(video.where, str(error).removeprefix(f"{video.where}: "))
    finally:
        pool.close()


def _prediction(
    seen: _Seen,
    inference: Inference,
    scores: Float[np.ndarray, "k"] | None,
    answers: dict[str, np.ndarray],
    top: int,
) -> Prediction:
    views = seen.views
    return Prediction(
        video=seen.video.where,
        info=seen.info,
        frames=views.frames,
        actions=[] if scores is None else _ranked(scores, inference, top),
        outputs={name: value for name, value in answers.items() if name not in inference.labels},
        labels={
            name: get_task(name).told(answers[name], seen.info, inference.space_of(name))
            for name in told_labels(inference)
        },
        shown=views.shown,
        scored_boxes=scored(seen.boxes, answers, inference, top),
        warnings=(*seen.warnings, *_untold(inference, seen.boxes)),
        scores=scores,
        stride=inference.clip.stride,
        crop=views.crop,
        name=seen.video.name,
    )


def _ranked(scores: Float[np.ndarray, "k"], inference: Inference, top: int) -> list[Ranked]:
    space = inference.action
    assert space is not None
    order = [int(i) for i in np.argsort(-scores, kind="stable") if i >= space.first][:top]
    return [Ranked(i, space.class_name(i), float(scores[i])) for i in order]
