"""The rows of a head by the names of its classes, and the class orders that published heads are known to have."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from jaxtyping import Shaped
from torch import Tensor

from pvit_data.sample.labels import LabelSpace, is_same, renumbering

RowNames = tuple[LabelSpace | None, LabelSpace | None]
"""What the rows of given weights, and of the network's, stand for; None: nobody says."""


def rows_by_name(
    own: Shaped[Tensor, "k ..."], given: Shaped[Tensor, "j ..."], names: RowNames
) -> Shaped[Tensor, "k ..."] | None:
    """The network's rows with the given one of each class that both have; None where that is none.

    Args:
        own: the network's parameter, whose other rows stay.
        given: another network's.
        names: what the rows of `given` and of `own` stand for.
    """
    theirs, ours = names
    if theirs is None or ours is None or given.shape[1:] != own.shape[1:]:
        return None
    if (len(given), len(own)) != (theirs.num_ids, ours.num_ids):
        return None
    if is_same(theirs, ours):
        return given
    pairs = [(i, k) for i, k in enumerate(renumbering(theirs, ours).tolist()) if k >= 0]
    if not pairs:
        return None
    pairs += [(i, i) for i in range(min(theirs.first, ours.first))]
    found = own.detach().clone()
    for i, k in pairs:
        found[k] = given[i].to(found.dtype)
    return found


def published_classes(number: int, wanted: Sequence[str]) -> LabelSpace | None:
    """The known class order of a published head of so many classes, where it has every wanted class."""
    for name, table in (("kinetics400", kinetics400), ("ssv2", ssv2)):
        classes = table()
        if len(classes) == number and set(wanted) <= set(classes):
            return LabelSpace(name, classes)
    return None


def kinetics400() -> tuple[str, ...]:
    """The 400 classes of Kinetics-400 in alphabetical order, as torchvision lists them; none without torchvision."""
    try:
        from torchvision.models.video import R3D_18_Weights
    except ImportError:
        return ()
    return tuple(R3D_18_Weights.KINETICS400_V1.meta["categories"])


def ssv2() -> tuple[str, ...]:
    """The 174 classes of Something-Something V2 in the order of its `labels.json`, which is alphabetical."""
    text = resources.files("pvit_model").joinpath("network/ssv2_classes.txt")
    return tuple(text.read_text(encoding="utf-8").splitlines())
