"""`RoiHead`: scores of boxes, from the patch tokens under each of them.

As facebookresearch/SlowFast reads a transformer for AVA (slowfast/models/head_helper.py, ResNetRoIHead): the mean over
time, RoIAlign to 7 x 7, the maximum over it, dropout, a linear layer. Neither the class token nor prompts are read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pvit_data.errors import UsageError
from pvit_model.backbones.base import Grid
from pvit_model.tasks.heads import ONE, ClassHead, HeadInput

POOLED = 7
"""Side of what RoIAlign makes of a box."""


class RoiHead(ClassHead):
    """Logits of each box, of as many as there are; arguments as those of `ClassHead`, `width` of the patch tokens."""

    def run(self, given: HeadInput) -> dict[str, Tensor]:
        """The logits of every box, (r, outputs)."""
        pooled = pooled_boxes(given.tokens, given.grid, given.boxes())
        return {ONE: self.linear(self.dropout(pooled))}

    def run_rows(self, given: HeadInput, rows: Mapping[str, Int[Tensor, "_"]]) -> dict[str, Tensor]:
        """The same: boxes say themselves which row they are in."""
        return self.run(given)


def pooled_boxes(
    tokens: Float[Tensor, "b n c"], grid: Grid, rois: Float[Tensor, "r 5"]
) -> Float[Tensor, "r c"]:
    """The largest value of each channel in each box, of the mean over time.

    Args:
        tokens: by time, row, column.
        grid: (T', h, w) of them, which the whole picture fills whatever its size is in pixels.
        rois: number of the clip, then x1 y1 x2 y2 in [0, 1] of the picture. A box without area gives zeros.

    Raises:
        UsageError: if the tokens do not lie on the grid.
    """
    from torchvision.ops import roi_align

    if tokens.shape[1] != math.prod(grid):
        raise UsageError(
            f"boxes are read from the last layer's tokens: {tokens.shape[1]} of them, expected {math.prod(grid)} on "
            f"the grid {tuple(grid)}"
        )
    maps = torch.unflatten(tokens, 1, grid).mean(1).permute(0, 3, 1, 2)
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    height, width = grid[1:]
    places = rois.to(maps.dtype) * rois.new_tensor([1, width, height, width, height])
    pooled: Tensor = roi_align(maps, places, POOLED, sampling_ratio=0, aligned=True)
    return pooled.amax((2, 3))
