"""The public face: one list of names, each of them there, documented, and with examples that run."""

import ast
import doctest
import inspect
from pathlib import Path
from typing import Any

import pytest

import pvit_data


def test_nothing_else_is_public() -> None:
    assert dir(pvit_data) == sorted(pvit_data.__all__) == list(pvit_data.__all__)
    assert {"Batch", "Cache", "Targets", "decoders", "errors", "testing", "tv", "validate"} <= set(dir(pvit_data))
    with pytest.raises(AttributeError, match="no attribute 'Writer'"):
        _ = pvit_data.Writer


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(inspect.getfile(pvit_data)).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    homes: dict[str, str] = {}
    for node in block.body:
        if isinstance(node, ast.ImportFrom):
            module = (node.module or "").removeprefix("pvit_data").removeprefix(".")
            homes |= {a.asname or a.name: ".".join(filter(None, (module, a.name))) for a in node.names}
        elif isinstance(node, ast.Assign):  # open = open_dataset
            homes[ast.unparse(node.targets[0])] = homes.pop(ast.unparse(node.value))
    assert homes == {name: home.replace(":", ".") for name, home in pvit_data._HOMES.items()}


@pytest.mark.parametrize("name", pvit_data.__all__)
def test_public_names_are_documented(name: str) -> None:
    found = getattr(pvit_data, name)
    assert inspect.getdoc(found)
    if inspect.isclass(found):
        members = [m for n, m in vars(found).items() if not n.startswith("_") and inspect.isroutine(m)]
        assert [m.__name__ for m in members if not inspect.getdoc(m)] == []


@pytest.mark.parametrize("name", pvit_data.__all__)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found: Any = getattr(pvit_data, name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    out: list[str] = []
    for test in doctest.DocTestFinder().find(found, name):
        runner.run(test, out=out.append)
    assert runner.failures == 0, "".join(out)


@pytest.mark.parametrize("name", ["Boxes", "Cache", "LabelSpace", "Sample", "ShardWriter", "decoders", "open", "tv"])
def test_there_are_examples(name: str) -> None:
    tests = doctest.DocTestFinder().find(getattr(pvit_data, name), name)
    assert any(test.examples for test in tests)
