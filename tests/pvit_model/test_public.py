"""The public face: what it names is there, documented, and all that it shows; the examples of its verbs run."""

import ast
import doctest
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pvit_model
from pvit_data.codecs.video import encode_video


def test_all_dir_and_table_agree() -> None:
    assert dir(pvit_model) == pvit_model.__all__ == sorted(pvit_model.__all__)
    tree = ast.parse(Path(pvit_model.__file__).read_text(encoding="utf-8"))
    typed = {a.asname for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for a in node.names}
    assert {name for name in typed if name and not name.startswith("_")} == set(pvit_model.__all__)
    assert {"train", "evaluate", "predict", "load_model"} <= set(pvit_model.__all__)
    for name in pvit_model.__all__:
        assert getattr(pvit_model, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pvit_model.nothing  # noqa: B018


@pytest.mark.parametrize(
    "module", ["pvit_model", "pvit_model.config", "pvit_model.recipes.loading", "pvit_model.backbones"]
)
def test_no_torch_until_it_is_needed(module: str) -> None:
    code = f"import sys, {module}; print('torch' in sys.modules)"
    if module == "pvit_model.recipes.loading":
        code = f"import sys, {module} as m; m.load_recipe('pvit'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_examples_run(shards: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as someone would: train, load, evaluate, predict."""
    monkeypatch.chdir(tmp_path)
    frames = np.random.default_rng(0).integers(0, 255, (20, 48, 80, 3)).astype(np.uint8)
    Path("video.mp4").write_bytes(encode_video(frames, fps=10))
    names: dict[str, object] = {name: getattr(pvit_model, name) for name in pvit_model.__all__} | {"shards": shards}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for name in ("train", "load_model", "evaluate", "predict", "create_model", "LossOptions"):
        tests = doctest.DocTestFinder(recurse=False).find(names[name], name, globs=names)
        assert sum(len(test.examples) for test in tests), name
        for test in tests:
            runner.run(test)
    assert runner.summarize(verbose=False).failed == 0
