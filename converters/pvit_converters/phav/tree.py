"""A PHAV tree under the user's options: its video folders, and one video with the colours and the packing it needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pvit_converters.phav.classes import ACTIONS, action_of
from pvit_converters.phav.colours import DEFAULT_ROWS, Rows, extra_rows, find_colours, rows_at
from pvit_converters.phav.info import INFO
from pvit_converters.phav.layout import (
    NAME,
    VideoFiles,
    find_videos_folder,
    patterns_of,
    scan_video,
)
from pvit_converters.phav.options import PhavOptions
from pvit_converters.phav.video import Video
from pvit_converters.raw.files import read_yaml
from pvit_converters.raw.listing import list_files, list_folders
from pvit_data.errors import SourceError, UsageError

Place = list[Any]
"""Number of a root and a path below it, as JSON."""


class Tree:
    """The folders that hold PHAV's actions.

    Args:
        root: folder of the raw data; `options.more_roots` hold further modalities of the same videos.
        options: of the converter.

    Raises:
        SourceError: if a folder is not there.
    """

    def __init__(self, root: Path, options: PhavOptions) -> None:
        self.options = options
        self.folders = [find_videos_folder(each) for each in (root, *map(Path, options.more_roots))]

    @cached_property
    def _layout(self) -> tuple[dict[str, Any], str]:
        """File patterns by modality, and the packing of depth."""
        path = self.options.layout
        if path is None:
            return {}, ""
        values = read_yaml(path, "--layout")
        patterns = patterns_of(values, f"--layout {path}")
        packing = str(values.get("phav", values).get("depth_packing", ""))
        if packing not in ("", "rgb24"):
            raise UsageError(f"--layout {path}: depth_packing {packing}, expected rgb24")
        return patterns, packing

    @cached_property
    def _extra(self) -> Rows:
        path = self.options.label_map
        if path is None:
            return ()
        return extra_rows(read_yaml(path, "--label-map"), f"--label-map {path}")

    def videos(self) -> dict[tuple[str, str], list[Place]]:
        """Every folder that a selected video has, by (action folder, video folder).

        Raises:
            UsageError: for an unknown action in the options.
            SourceError: for a folder that is no action.
        """
        wanted = {action_of(name) for name in self.options.actions}
        if None in wanted:
            raise UsageError(
                f"--actions {','.join(self.options.actions)}: PHAV's actions are {', '.join(ACTIONS)}"
            )
        videos: dict[tuple[str, str], list[Place]] = {}
        for number, folder, action in self._action_folders():
            if wanted and action not in wanted:
                continue
            for video in list_folders(self.folders[number] / folder):
                videos.setdefault((folder, video), []).append([number, f"{folder}/{video}"])
        return videos

    def _action_folders(self) -> Iterator[tuple[int, str, int | None]]:
        for number, root in enumerate(self.folders):
            for folder in list_folders(root):
                action = action_of(folder)
                if action is None and not self.options.allow_unknown_actions:
                    raise SourceError(_unknown_action(root, folder), reason="unknown-action")
                yield number, folder, action

    def scan(self, places: Sequence[Place]) -> VideoFiles:
        """The files of a video."""
        patterns, _ = self._layout
        return scan_video([self.folders[number] / path for number, path in places], patterns)

    def open(self, files: VideoFiles, offset: int = 0) -> Video:
        """A video with the class colours that lie beside it, or the published ones.

        Args:
            files: of the video.
            offset: map number i belongs to RGB number i + offset.
        """
        rows, warnings = self._rows(files)
        _, packing = self._layout
        return Video(files, offset, rows, self._extra, self.options, packing, warnings=warnings)

    def _rows(self, files: VideoFiles) -> tuple[Rows, list[str]]:
        top = next((f for f in self.folders if f in files.folders[0].parents), files.folders[0])
        path = find_colours(files.folders[0], top)
        if path is None:
            return DEFAULT_ROWS, []
        rows = rows_at(path)
        if dict(rows) == dict(DEFAULT_ROWS):
            return rows, []
        return rows, [f"{path.name} differs from the published table, the file is used"]


def _unknown_action(root: Path, folder: str) -> str:
    if NAME.match(folder):
        return f"{root / folder}: a video where an action folder is expected; give {root.parent}"
    archives = list_files(root / folder, ".tar.bz2")
    what = f"{archives[0]} in it is not unpacked. {INFO.obtain}" if archives else ""
    what = what or "or --allow-unknown-actions"
    return f"{root / folder}: no action of PHAV; expected folders {', '.join(ACTIONS)} in {root}; {what}"
