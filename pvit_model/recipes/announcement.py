"""A plan in words: what is printed before a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pvit_data.clips.config import ClipConfig
from pvit_data.errors import FormatError
from pvit_data.loading.clip_reader import ClipReader
from pvit_data.mixing.sources import clips_within, sampler_of
from pvit_data.words import counted
from pvit_model.recipes.clips import augmentation_text
from pvit_model.recipes.config import TrainConfig
from pvit_model.recipes.plan import Plan, SourcePlan


def plan_lines(
    plan: Plan,
    parameters: Mapping[str, int],
    out: Path,
    memory: str = "",
    weights: Sequence[str] = (),
) -> list[str]:
    """The plan in plain lines, as printed before a run.

    Args:
        memory: a line of its own (`pvit_model.training.memory`).
        weights: lines about given weights (`pvit_model.training.build.build_network`).
    """
    config = plan.config
    clip, optim = config.clip, config.optim
    lines = [f"recipe     {config.name}: {config.about}"]
    for s in plan.sources:
        held = len(s.val) if s.val is not None else 0
        does = ", ".join([*s.labels, *s.tasks])
        share = f"{s.per_batch:.4g} per batch"
        lines.append(
            f"source     {s.name:<12} {s.role:<11} {len(s.train):>8} train {held:>6} {s.held_out:<4} {share:<16} {does}"
        )
        lines += [f"attached   {text}" for text in s.found.told(s.train)]
    lines.append(f"clip       {clip.num_frames} frames, {clip.size[0]}x{clip.size[1]} pixels")
    lines.append(f"sampler    {'; '.join(_sampling(source, clip) for source in plan.sources)}")
    if augmentation := augmentation_text(config):
        lines.append(f"augmented  {augmentation}")
    rate = optim.lr * config.mixture.batch_size / optim.lr_batch if _scaled(config) else optim.lr
    lines.append(
        f"optimiser  {optim.name}, lr {rate:g}, weight decay {optim.weight_decay:g}, batch {config.mixture.batch_size}"
        + (f" in {optim.accumulate} parts" if optim.accumulate > 1 else "")
    )
    epochs = plan.num_steps / plan.steps_per_epoch
    warm = f", warm-up {optim.warmup_steps} steps" if optim.warmup_steps else ""
    lines.append(
        f"schedule   {plan.num_steps} steps = {epochs:.4g} epochs of {counted(plan.steps_per_epoch, 'step')}{warm}"
    )
    classes = f", {plan.action.num_ids} classes" if plan.action else ""
    counts = ", ".join(f"{name} {count / 1e6:.2f} M" for name, count in parameters.items())
    lines.append(
        f"model      {config.model.name}, auxiliary tasks {', '.join(plan.tasks) or 'none'}{classes}; {counts}"
    )
    lines += [*weights, *([memory] if memory else [])]
    lines.append(f"results    {out}")
    return lines + [f"note       {note}" for note in plan.notes]


def _sampling(source: SourcePlan, clip: ClipConfig) -> str:
    """How clips are cut from a source's videos, and how long one of a middling video is."""
    rule = f"{source.name} {sampler_of(source.train, source.name, clip)}"
    counts = source.train.column("frames")
    row = int(np.argsort(counts, kind="stable")[len(counts) // 2])
    frames, fps = int(counts[row]), float(source.train.column("fps")[row])
    if frames < 2:
        return f"{source.name} stills"
    within = clips_within(source.train, source.name)
    told = f", within meta.{within}" if within else ""
    try:
        shown = ClipReader(source.train, clip, {source.name: ()}).frames(row)
    except FormatError:  # that sample costs itself when its turn comes
        return f"{rule}{told}"
    span = int(shown[-1] - shown[0]) + 1
    length = f"{span / fps:.2g} s" if fps > 0 else "of unknown rate"
    return f"{rule}, {span} of {frames} frames{told}, {length}"


def _scaled(config: TrainConfig) -> bool:
    return config.optim.scale_lr == "linear" and bool(config.optim.lr_batch)
