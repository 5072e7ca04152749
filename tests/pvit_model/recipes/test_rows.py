"""A run that would learn nothing is refused before it starts: no class ids, or no row of any task."""

from pathlib import Path

import numpy as np
import pytest

from pvit_data import LabelSpace, Sample, ShardWriter
from pvit_data.errors import UsageError
from pvit_data.sample.sample import Actions
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan

SPACES = {"action": LabelSpace("moves", ("walk", "run"))}
RGB = np.zeros((4, 32, 32, 3), np.uint8)


def test_a_downstream_without_class_ids(tmp_path: Path) -> None:
    """It declares classes, but its samples have none of their own (here: only labels with times)."""
    with ShardWriter(tmp_path, "timed", spaces=SPACES, role="downstream") as writer:
        writer.write(Sample(key="a", rgb=RGB, fps=10, actions=Actions([1], [0.0], [0.2])))
        writer.write(Sample(key="b", rgb=RGB, fps=10))
    with pytest.raises(UsageError, match="'timed': none of its 2 training samples has an action class"):
        make_plan(load_recipe("demo", ["clip.downstream=timed", "mixture.batch_size=2"]), [str(tmp_path)])


def test_tasks_without_a_row(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, "bare", tasks=("depth", "normal")) as writer:
        writer.write(Sample(key="a", rgb=RGB, fps=10))
    config = load_recipe("demo", ["clip.downstream=''", "mixture.batch_size=2"])
    with pytest.raises(UsageError, match="source 'bare' has no sample with depth or normal"):
        make_plan(config, [str(tmp_path)])


def test_a_misspelt_task_of_a_recipe(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, "bare", tasks=("depth",)) as writer:
        writer.write(Sample(key="a", rgb=RGB, depth=np.ones((4, 32, 32), np.float32), fps=10))
    config = load_recipe("demo", ["clip.downstream=''", "clip.tasks={bare: [dpeth]}"])
    with pytest.raises(UsageError, match=r"unknown task 'dpeth'\. Nearest: 'depth'"):
        make_plan(config, [str(tmp_path)])
