"""The closed table of members: which files a sample may consist of, and which fields each of them holds."""

from __future__ import annotations

RECORD = "json"
RGB_EXTENSIONS = {"mp4": "rgb.mp4", "webm": "rgb.webm", "avi": "rgb.avi", "jpg": "rgb.jpg"}

# Index columns are named by these; their order is the order inside a shard (sorted by file name).
MEMBERS: dict[str, tuple[str, ...]] = {
    "boxes": ("boxes.npy",),
    "boxes_id": ("boxes_id.npy",),
    "boxes_labels": ("boxes_labels.npy",),
    "camera_k": ("camera_k.npy",),
    "camera_pose": ("camera_pose.npy",),
    "depth": ("depth.tif",),
    "json": (RECORD,),
    "normal": ("normal.tif",),
    "pose2d": ("pose2d.npy",),
    "pose3d": ("pose3d.npy",),
    "pose3d_valid": ("pose3d_valid.npy",),
    "rgb": tuple(RGB_EXTENSIONS.values()),
    "segm": ("segm.tif",),
}
MEMBER_OF_EXTENSION = {
    extension: name for name, extensions in MEMBERS.items() for extension in extensions
}

# Fields of a sample that may be asked for, and the members each needs.
FIELDS: dict[str, tuple[str, ...]] = {
    "rgb": ("rgb",),
    "depth": ("depth",),
    "normal": ("normal",),
    "segm": ("segm",),
    "pose3d": ("pose3d", "pose3d_valid"),
    "pose2d": ("pose2d",),
    "boxes": ("boxes", "boxes_id", "boxes_labels"),
    "action": (),
    "actions": (),
    "camera": ("camera_k", "camera_pose"),
}
