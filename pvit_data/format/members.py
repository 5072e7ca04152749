"""The closed table of members: which files a sample may consist of, and which fields each of them holds."""

from __future__ import annotations

from pvit_data.sample.sample import CONTAINERS, DENSE_FIELDS

RECORD = "json"
RGB = "rgb"
RGB_EXTENSIONS: dict[str, str] = {kind: f"{RGB}.{kind}" for kind in CONTAINERS}

# Fields of a sample that may be asked for, and the files of each; pictures have one of theirs.
FILES: dict[str, tuple[str, ...]] = {
    RGB: tuple(RGB_EXTENSIONS.values()),
    **{name: (f"{name}.tif",) for name in DENSE_FIELDS},
    "pose3d": ("pose3d.npy", "pose3d_valid.npy"),
    "pose2d": ("pose2d.npy",),
    "boxes": ("boxes.npy", "boxes_id.npy", "boxes_labels.npy", "boxes_score.npy"),
    "action": (),
    "actions": (),
    "camera": ("camera_k.npy", "camera_pose.npy"),
}
LABELS = frozenset({"action", "actions"})
"""Fields that have no files of their own: labels of the whole clip, which a protocol may declare."""
OPTIONAL = ("boxes_score", "camera_pose")  # members that a field may lack

MEMBER_OF_EXTENSION: dict[str, str] = {
    file: file.partition(".")[0]
    for file in (RECORD, *(f for files in FILES.values() for f in files))
}

FIELDS: dict[str, tuple[str, ...]] = {
    field: tuple(dict.fromkeys(MEMBER_OF_EXTENSION[file] for file in files))
    for field, files in FILES.items()
}
"""The members of each field."""

MEMBERS: dict[str, tuple[str, ...]] = {
    member: tuple(file for file, of in MEMBER_OF_EXTENSION.items() if of == member)
    for member in sorted(set(MEMBER_OF_EXTENSION.values()))
}
"""The files that a member may be, in the order inside a shard (sorted by name). Index columns are named by these."""


def file_of(member: str, rgb_encoding: str) -> str:
    """The file that a member of a sample is, without the key: `"depth.tif"`, `"rgb.mp4"`.

    Args:
        member: one of `MEMBERS`.
        rgb_encoding: container of the sample's pictures, as its record and its index row have it.
    """
    return RGB_EXTENSIONS.get(rgb_encoding, RGB) if member == RGB else MEMBERS[member][0]
