"""Whether a network wants other pixels than it gets: some clips once more, in other colours or not normalised."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pvit_data.clips.config import ClipConfig
from pvit_data.errors import UsageError
from pvit_data.loading.loader import eval_loader
from pvit_data.reading.layers.places import find_sources
from pvit_data.scoring.doctor.finding import Finding
from pvit_data.scoring.doctor.pixels import CLIPS, other_pixels
from pvit_model.tasks import ACTION
from pvit_model.using.evaluate import EVAL_BATCH, spread
from pvit_model.using.loading import Loaded, loaded
from pvit_model.using.matching import match

Change = Callable[[Float[Tensor, "b 3 t h w"]], Float[Tensor, "b 3 t h w"]]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def changes(clip: ClipConfig) -> dict[str, Change]:
    """Other pixels than a network gets, by what was changed."""

    def channel(values: tuple[float, ...], like: Tensor) -> Tensor:
        return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, 3, 1, 1, 1)

    def plain(video: Tensor) -> Tensor:
        return video * channel(clip.std, video) + channel(clip.mean, video)

    def imagenet(video: Tensor) -> Tensor:
        return (plain(video) - channel(IMAGENET[0], video)) / channel(IMAGENET[1], video)

    return {
        "channels in the order BGR": lambda video: video.flip(1),
        "no normalisation (pixels in 0..1)": plain,
        "no normalisation (pixels in 0..255)": lambda video: 255 * plain(video),
        "ImageNet's mean and deviation": imagenet,
    }


@torch.no_grad()
def diagnose_pixels(
    model: str | Loaded, shards: Sequence[str], source: str | None, split: str, device: str = "cpu"
) -> Finding | None:
    """Runs a network on some labelled clips as they are fed, and with other pixels.

    Args:
        model, shards, source, split, device: as for `evaluate`.

    Raises:
        UsageError: if there are no clips with actions.
    """
    model = model if isinstance(model, Loaded) else loaded(model, device)
    network, inference = model.network, model.inference
    found = find_sources(shards)
    for name in [source] if source else sorted(found):
        matched = match(inference, found[name], split, asked=False, allow_other=True)
        ds = matched.open(split, strict=False) if ACTION in matched.targets else None
        if ds is not None:
            break
    else:
        raise UsageError("--diagnose: none of the sources has actions that the network predicts")
    own = matched.inference
    made = changes(own.clip)
    logits: dict[str, list[np.ndarray]] = {name: [] for name in ("", *made)}
    labels = []
    for batch in eval_loader(spread(ds, CLIPS), own.clip, batch_size=EVAL_BATCH, tasks=[ACTION]):
        rows = batch.targets[ACTION].rows
        labels.append(batch.targets[ACTION].value.numpy())
        video = batch.video[rows].to(device)
        for name, change in {"": lambda video: video, **made}.items():
            logits[name].append(network(change(video)).logits.float().cpu().numpy())
    joined = {name: np.concatenate(parts) for name, parts in logits.items()}
    return other_pixels(joined.pop(""), joined, np.concatenate(labels))
