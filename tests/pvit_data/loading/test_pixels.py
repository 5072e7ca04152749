"""Bytes to normalised clips: the formula, both ways of computing it, and memory that is never handed out twice."""

import gc

import torch

from pvit_data.loading.pixels import Pixels

MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.25, 1.0)
FRAMES = torch.randint(0, 256, (7, 5, 6, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
PLACES = torch.tensor([[0, 1, 2, 3], [4, 4, 4, 4], [5, 5, 6, 6]])


def expected() -> torch.Tensor:
    pixels = FRAMES[PLACES].double() / 255
    return ((pixels - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 4, 1, 2, 3).float()


def test_both_ways_compute_the_formula() -> None:
    pixels = Pixels(MEAN, STD)
    torch.testing.assert_close(pixels.normalise(FRAMES, PLACES), expected(), atol=1e-5, rtol=0)
    torch.testing.assert_close(pixels._on_device(FRAMES, PLACES), expected(), atol=1e-5, rtol=0)


def test_memory_is_used_again_only_when_nobody_holds_it() -> None:
    pixels = Pixels(MEAN, STD)
    first = pixels.normalise(FRAMES, PLACES)
    kept, address = first.clone(), first.data_ptr()
    view = first[0, 1:]  # a view keeps the memory although the batch is gone
    del first
    second = pixels.normalise(FRAMES.flip(0), PLACES)
    assert second.data_ptr() != address
    assert torch.equal(view, kept[0, 1:])
    del view
    gc.collect()
    third = pixels.normalise(FRAMES, PLACES)
    assert third.data_ptr() == address
    assert torch.equal(third, kept)
