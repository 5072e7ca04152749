"""A task from another distribution, over a field that samples already have: an entry point is all it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pvit_data
from tests.pvit_data.memory_set import synthetic

TASK = '''
"""2D keypoints of the first person."""
import numpy as np
from pvit_data.tasks.table import TargetSpec
from pvit_data.tasks.target import at_frames, target_of


def keypoints(sample, frames, config):
    if sample.pose2d is None:
        return None
    places, present = at_frames(sample, "pose2d", sample.pose2d[:, 0], frames)
    places = places / [sample.width, sample.height]
    valid = present[:, None] & (places > 0).all(-1) & (places < 1).all(-1)
    return target_of(np.where(valid[..., None], places, 0).astype(np.float32), valid)


TARGET = TargetSpec(
    name="keypoints",
    field="pose2d",
    build=keypoints,
    shapes=lambda config: ((config.num_targets, 25, 2), (config.num_targets, 25)),
)
'''
SCRIPT = """
import json, multiprocessing, sys


def main():
    import pvit_data

    multiprocessing.set_start_method("spawn")
    mixture = pvit_data.Mixture([pvit_data.MixtureSource(pvit_data.open(sys.argv[1]), "auxiliary")], 2)
    clip = pvit_data.ClipConfig(num_frames=4, size=(32, 32), map_size=(8, 8))
    found = {}
    for workers in (0, 2):
        batches = pvit_data.loader(mixture, workers, num_steps=3, clip=clip)
        found[workers] = [
            {name: [t.rows.tolist(), t.value.tolist(), t.valid.tolist()] for name, t in batch.targets.items()}
            for batch in batches
        ]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
"""
LIGHT = """
import sys
from pvit_data.tasks.table import every_task, target_spec
assert every_task()[-5:] == ("action", "actions", "pnr", "persons", "keypoints"), every_task()
assert "keypoint_task" not in sys.modules
assert [target_spec(name).name for name in every_task()] == list(every_task())
assert "torch" not in sys.modules
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What pip would leave behind, on the path of a fresh process."""
    site = tmp_path / "site"
    (site / "keypoints-1.0.dist-info").mkdir(parents=True)
    (site / "keypoint_task.py").write_text(TASK)
    (site / "keypoints-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: keypoints\nVersion: 1.0\n")
    points = "[pvit.targets]\nkeypoints = keypoint_task:TARGET\n"
    (site / "keypoints-1.0.dist-info/entry_points.txt").write_text(points)
    return {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}


def run(environment: dict[str, str], *command: str) -> str:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_batches_are_loaded_in_spawned_workers(tmp_path: Path, environment: dict[str, str]) -> None:
    samples = [synthetic(f"k{i}") for i in range(4)]
    writer = pvit_data.ShardWriter(
        tmp_path / "shards", source="people", licence="CC0-1.0", redistributable=True,
        spaces=dict(samples[0].spaces), tasks=("keypoints", "pose3d"),
    )  # fmt: skip
    with writer:
        for sample in samples:
            writer.write(sample)
    (tmp_path / "load.py").write_text(SCRIPT)
    found = json.loads(run(environment, str(tmp_path / "load.py"), str(tmp_path / "shards")))
    assert found["0"] == found["2"]
    for batch in found["0"]:
        assert set(batch) == {"keypoints", "pose3d"}
        rows, value, valid = map(np.array, batch["keypoints"])
        assert value.shape == (len(rows), 2, 25, 2)
        assert ((value > 0) & (value < 1)).all(-1)[valid].all()
        assert (value[~valid] == 0).all()
    assert sum(len(batch["keypoints"][0]) for batch in found["0"]) > 0


def test_it_is_imported_when_its_name_is_looked_up(environment: dict[str, str]) -> None:
    run(environment, "-c", LIGHT)


def test_what_is_no_target_is_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "site/keypoint_task.py").write_text("TARGET = 3\n")
    code = (
        "from pvit_data.tasks.table import target_spec\nfrom pvit_data.errors import UsageError\n"
        "try:\n    target_spec('keypoints')\nexcept UsageError as error:\n    print(error)"
    )
    assert run(environment, "-c", code) == "task 'keypoints': its entry point is 3, expected a TargetSpec\n"
