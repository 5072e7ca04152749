"""Held-out clips drawn for the report and TensorBoard: input, then target beside prediction for each task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from pvit_data.loading.batch import Batch, Targets
from pvit_data.loading.loader import eval_loader
from pvit_data.looking import pictures as draw
from pvit_model.network.inference import Inference
from pvit_model.network.pvit import PViT
from pvit_model.recipes.plan import Plan
from pvit_model.tasks import ACTION, get_task
from pvit_model.using.answers import shown_frame
from pvit_model.using.loading import load_model
from pvit_model.using.predict import first_outputs

if TYPE_CHECKING:
    from pvit_data.reading.dataset import ShardDataset

SIDE = 128
"""Least side of a panel, pixels."""


def run_examples(
    plan: Plan, out: Path, device: torch.device
) -> Iterator[tuple[str, str, UInt8[np.ndarray, "h w 3"]]]:
    """(name, caption, strip of pictures) for some held-out clips of each source, as a run's exported network sees them.

    Args:
        plan: the run's.
        out: its folder.
        device: to compute on.
    """
    network, inference = load_model(str(out / "model"), str(device))
    number = plan.config.run.predictions
    for source in plan.sources if number else ():
        if source.val is not None:
            strips = draw_examples(network, inference, source.val, source.name, number, device)
            yield from ((f"{source.name}/{i}", *strip) for i, strip in enumerate(strips))


@torch.no_grad()
def draw_examples(
    network: PViT,
    inference: Inference,
    ds: ShardDataset,
    source: str,
    number: int,
    device: torch.device,
) -> list[tuple[str, UInt8[np.ndarray, "h w 3"]]]:
    """(caption, strip of pictures) for each of `number` clips, evenly spread over a dataset.

    Every head is drawn on every clip: where a source lacks a task's annotation, its prediction stands alone.

    Args:
        network: in any mode; it is put back.
        inference: how to feed it.
        ds: held-out samples of one source.
        source: its name.
        number: how many clips.
        device: of the network.
    """
    rows = np.unique(np.linspace(0, len(ds) - 1, number).round().astype(np.int64))
    was_training = network.training
    network.eval()
    strips = []
    for batch in eval_loader(ds.select(rows), inference.clip, batch_size=1):
        batch = batch.to(device)
        out = network(batch.video, tasks=inference.tasks)
        strips.append(
            (
                f"{source} {_title(batch, out.logits[0], inference)}",
                _strip(batch, out.tasks, inference),
            )
        )
    network.train(was_training)
    return strips


def frames_of(batch: Batch, inference: Inference) -> UInt8[np.ndarray, "t h w 3"]:
    """The first clip's frames that targets belong to, as pixels again, enlarged to at least `SIDE`."""
    device, clip = batch.video.device, inference.clip
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1, 1) for v in (clip.mean, clip.std))
    pixels = (batch.video[0].float() * std + mean).clamp(0, 1).mul(255).round().byte()
    frames: UInt8[np.ndarray, "t h w 3"] = pixels.permute(1, 2, 3, 0).cpu().numpy()[:: clip.stride]
    height, width = frames.shape[1:3]
    factor = max(1.0, SIDE / min(height, width))
    return np.stack([draw.resize(f, round(height * factor), round(width * factor)) for f in frames])


def _strip(
    batch: Batch, tasks: Mapping[str, Any], inference: Inference
) -> UInt8[np.ndarray, "h w 3"]:
    rgb = frames_of(batch, inference)
    middle = len(rgb) // 2
    # What a clip shows takes three of its frames to guess, what a frame shows one.
    acts = ACTION in batch.targets and len(batch.targets[ACTION].rows)
    tiles = [
        draw.captioned(rgb[t], "input" if t == middle else "", legend=())
        for t in ([0, middle, len(rgb) - 1] if acts else [middle])
    ]
    for name, guess in first_outputs(tasks).items():
        truth = batch.targets.get(name)
        tiles += _panels(name, guess, truth, rgb, inference)
    return draw.grid([tiles])


def _panels(
    name: str,
    guess: np.ndarray,
    truth: Targets | None,
    rgb: UInt8[np.ndarray, "t h w 3"],
    inference: Inference,
) -> list[UInt8[np.ndarray, "h w 3"]]:
    """A task's prediction for the middle frame, behind its target where there is one; both on one scale."""
    task, middle = get_task(name), len(rgb) // 2
    predicted = shown_frame(inference, name, guess, rgb, middle)
    if truth is None or not len(truth.rows):
        return [task.panel(predicted)]
    values, valid = truth.value[0].cpu().numpy(), truth.valid[0, middle].cpu().numpy()
    true = replace(shown_frame(inference, name, values, rgb, middle), valid=valid)
    predicted = replace(predicted, whole=values, beside=valid)
    return [
        task.panel(true, f"true {task.caption(true)}"),
        task.panel(predicted, "predicted"),
    ]


def _title(batch: Batch, logits: Tensor, inference: Inference) -> str:
    action = batch.targets.get(ACTION)
    if action is None or not len(action.rows) or inference.action is None:
        return batch.keys[0]
    guess = inference.action.class_name(int(logits.argmax()))
    true = inference.action.class_name(int(action.value[0]))
    return f"{batch.keys[0]}: {true}" + ("" if guess == true else f" (predicted: {guess})")
