"""What a backbone says of itself and what it returns, held against each other, so that a slip is told where it is made.

`build_backbone` checks what it says; `PViT` what it returns, by its shapes, which costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from jaxtyping import Float
from torch import Tensor

from pvit_data.errors import UsageError
from pvit_model.backbones.base import Backbone, BackboneOutput, Grid

NEEDED = ("clip", "width", "dims", "blocks", "dense_layers")


def check_definition(name: str, backbone: Backbone) -> None:
    """Its attributes, and the grids of its nominal clip.

    Raises:
        UsageError: naming the backbone and the attribute.
    """
    lacking = [attribute for attribute in NEEDED if not hasattr(backbone, attribute)]
    if lacking:
        raise UsageError(
            f"backbone '{name}' does not say its {lacking[0]}; see help(pvit_model.Backbone)"
        )
    depth, grids = len(backbone.dims), backbone.grid(*backbone.clip)
    clip = "x".join(map(str, backbone.clip))
    for what, number in (("blocks", len(backbone.blocks)), (f"grids of a {clip} clip", len(grids))):
        if number != depth:
            raise UsageError(
                f"backbone '{name}' has {number} {what}; expected {depth}, one for each of dims"
            )
    frames, wanted = backbone.map_size(*backbone.clip)[0], -(-backbone.clip[0] // backbone.stride)
    if frames != wanted:
        raise UsageError(
            f"backbone '{name}': maps of a {clip} clip have {frames} frames; expected {wanted}, every "
            f"{backbone.stride} of the clip's, as its stride says"
        )


def check_output(
    name: str,
    backbone: Backbone,
    out: BackboneOutput,
    clip: Float[Tensor, "b 3 t h w"],
    prompts: int,
    read_by: Mapping[int, str],
) -> None:
    """The shapes of what it returned.

    Args:
        clip: what it was given.
        prompts: number of extra tokens that it was given.
        read_by: layers that were asked for, and a task that reads each.

    Raises:
        UsageError: naming the backbone and the task, with what was found and expected.
    """
    batch, width = len(clip), backbone.dims[-1]
    _expect(f"backbone '{name}': cls", out.cls, (batch, width))
    _expect(f"backbone '{name}': extra", out.extra, (batch, prompts, width))
    _expect(f"backbone '{name}': tokens", out.tokens, (batch, None, width))
    _, _, *size = clip.shape
    grids, frames = backbone.grid(*size), backbone.map_size(*size)[0]
    for layer, task in read_by.items():
        where = f"backbone '{name}', of which task '{task}' reads layer {layer}"
        if layer not in out.features:
            raise UsageError(f"{where}, returned features of {_listed(out.features)} only")
        tokens, grid = out.features[layer]
        _expect_grid(where, grid, grids[layer], frames)
        places = grid[0] * grid[1] * grid[2]
        _expect(f"{where}: features", tokens, (batch, places, backbone.dims[layer]))


def _expect_grid(where: str, found: Grid, stated: Grid, frames: int) -> None:
    if tuple(found) != tuple(stated):
        raise UsageError(
            f"{where}: features on the grid {tuple(found)}; expected {tuple(stated)}, as grid() says"
        )
    if found[0] != frames:
        raise UsageError(
            f"{where}: {found[0]} frames; expected {frames}, those of the maps (map_size): a tapped layer keeps time"
        )


def _expect(what: str, found: Tensor, shape: tuple[int | None, ...]) -> None:
    fits = found.ndim == len(shape) and all(
        wanted is None or side == wanted for side, wanted in zip(found.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        raise UsageError(f"{what} of shape {tuple(found.shape)}; expected ({wanted})")


def _listed(layers: Collection[int]) -> str:
    return f"layers {sorted(layers)}" if layers else "no layer"
