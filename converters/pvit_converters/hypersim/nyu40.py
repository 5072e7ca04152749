"""The label space `nyu40` of Hypersim's semantic maps: ids 1..40, with the release's own colours.

Source: apple/ml-hypersim, code/cpp/tools/scene_annotation_tool/semantic_label_descs.csv. The id 0 never occurs.
"""

import numpy as np
from jaxtyping import Integer, UInt8

from pvit_data.sample.labels import IGNORE_8, LabelSpace

_NAMES = (
    "wall floor cabinet bed chair sofa table door window bookshelf picture counter blinds desk shelves curtain dresser "
    "pillow mirror floormat clothes ceiling books refrigerator television paper towel showercurtain box whiteboard "
    "person nightstand toilet sink lamp bathtub bag otherstructure otherfurniture otherprop"
)
_COLOURS = (
    "aec7e8 98df8a 1f77b4 ffbb78 bcbd22 8c564b ff9896 d62728 c5b0d5 9467bd c49c94 17becf b24c4c f7b6d2 42bc66 dbdb8d "
    "8c39c5 cab934 33b0cb c83683 5cc13d 4e47b7 ac7252 ff7f0e 5ba38a 99629c 8c9965 9edae5 647d9a b27f87 78b980 926fc2 "
    "2ca02c 708090 60cfd1 e377c2 d55cb0 5e6ad3 5254a3 645590"
)

NYU40 = LabelSpace(
    name="nyu40",
    classes=tuple(_NAMES.split()),
    first=1,
    colours=tuple((int(c[0:2], 16), int(c[2:4], 16), int(c[4:6], 16)) for c in _COLOURS.split()),
)


def is_legal(labels: Integer[np.ndarray, "h w"]) -> bool:
    """Whether every label is -1 (unlabelled) or 1..40, as in every released file."""
    return bool(((labels == -1) | ((labels >= 1) & (labels <= 40))).all())


def to_segm(labels: Integer[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Raw labels (-1 = unlabelled) as ids of `NYU40`, 255 = ignore."""
    return np.where(labels > 0, labels, IGNORE_8).astype(np.uint8)
