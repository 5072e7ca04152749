"""Box files of gigabytes: found and read one video at a time, whatever their size.

10 MB in `make test`, 2 GB in `make torture` (PVIT_TORTURE=1).
"""

import json
import os
import tracemalloc
from pathlib import Path

from pvit_converters.something_else.box_files import find_boxes, read_records

VIDEOS = 80_000 if os.environ.get("PVIT_TORTURE") else 400
PER_VIDEO = 600  # bytes of a place and its key


def test_a_box_file_is_never_held_whole(tmp_path: Path) -> None:
    box = {"box2d": {"x1": 97.64950730138266, "y1": 11.889318166856967, "x2": 427, "y2": 239.92858832368972}}
    labels = [{**box, "gt_annotation": "object 0", "category": "pillow", "standard_category": "0000"}] * 2

    def records(video: int) -> list[object]:
        names = (f"{video}/{number:04d}.jpg" for number in range(1, 46))
        return [{"name": name, "nr_instances": 2, "url": "x" * 200, "labels": labels} for name in names]

    path = tmp_path / "bounding_box_smthsmth_part1.json"
    with path.open("w") as file:
        for video in range(1, VIDEOS + 1):
            file.write(f'{"{" if video == 1 else ", "}"{video}": {json.dumps(records(video))}')
        file.write("}")
    tracemalloc.start()
    found = find_boxes(tmp_path)
    last = read_records(tmp_path, found.places[str(VIDEOS)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.places) == VIDEOS
    is_whole = last == records(VIDEOS)
    assert is_whole
    assert peak < min((8 << 20) + PER_VIDEO * VIDEOS, path.stat().st_size)
