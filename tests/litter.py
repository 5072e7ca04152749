"""What lies in real folders beside the data: scattered by tests over raw trees and datasets."""

import os
from pathlib import Path

LITTER = (
    "._1.webm",
    ".DS_Store",
    "Thumbs.db",
    "thumbs.db",
    "desktop.ini",
    "__MACOSX",
    "@eaDir",
    "lost+found",
    ".ipynb_checkpoints",
    "$RECYCLE.BIN",
    "System Volume Information",
)
FOLDERS = ("__MACOSX", "@eaDir", "lost+found", ".ipynb_checkpoints")


def scatter(root: Path, copies: bool = False) -> None:
    """Litter in every folder below `root`; with `copies` also the litter that is called like the data beside it."""
    for folder in [Path(place) for place, _, _ in os.walk(root)]:
        files = [path for path in folder.iterdir() if path.is_file()]
        for name in ("._1.webm", ".DS_Store", "Thumbs.db", "desktop.ini"):
            (folder / name).write_bytes(b"\x00\x05\x16\x07litter\xff")
        for name in FOLDERS:
            (folder / name).mkdir()
            (folder / name / "._x").write_bytes(b"litter")
        (folder / "leads-nowhere").symlink_to("gone")
        (folder / "leads-nowhere.json").symlink_to("gone.json")
        (folder / "leads-to-itself.json").symlink_to("leads-to-itself.json")
        if copies:
            for path in files[:20]:
                (folder / f"._{path.name}").write_bytes(b"\x00\x05\x16\x07litter\xff")
                for name in FOLDERS:
                    (folder / name / path.name).write_bytes(b"litter")
                (folder / f"z-{path.name}").symlink_to("gone")
        (folder / "lost+found").chmod(0)
