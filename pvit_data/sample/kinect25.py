"""The 25 joints of Kinect v2, the joint set of every `pose3d` in the format: names, tree, left/right pairs."""

NAMES = (
    "SpineBase", "SpineMid", "Neck", "Head",
    "ShoulderLeft", "ElbowLeft", "WristLeft", "HandLeft",
    "ShoulderRight", "ElbowRight", "WristRight", "HandRight",
    "HipLeft", "KneeLeft", "AnkleLeft", "FootLeft",
    "HipRight", "KneeRight", "AnkleRight", "FootRight",
    "SpineShoulder", "HandTipLeft", "ThumbLeft", "HandTipRight", "ThumbRight",
)  # fmt: skip

PARENTS = (-1, 0, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 1, 7, 7, 11, 11)

PAIRS = tuple(
    (left, NAMES.index(name.replace("Left", "Right")))
    for left, name in enumerate(NAMES)
    if name.endswith("Left")
)

FLIP = tuple(
    dict([*PAIRS, *((right, left) for left, right in PAIRS)]).get(i, i) for i in range(len(NAMES))
)
"""`FLIP[i]` is the joint that joint i becomes in a mirrored image."""
