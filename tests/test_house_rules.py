"""Rules of the house, counted so that they cannot drift: import direction, sizes, nothing that executes data."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "pvit_data": ROOT / "pvit_data",
    "pvit_model": ROOT / "pvit_model",
    "pvit_converters": ROOT / "converters/pvit_converters",
    "pvit_cli": ROOT / "cli/pvit_cli",
}
MAY_IMPORT = {
    "pvit_data": set(),
    "pvit_model": {"pvit_data"},
    "pvit_converters": {"pvit_data"},
    "pvit_cli": {"pvit_data", "pvit_model", "pvit_converters"},
}


def modules() -> Iterator[tuple[str, Path, ast.Module]]:
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            yield package, path, ast.parse(path.read_text())


def imported(tree: ast.Module) -> set[str]:
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    return {name.split(".")[0] for name in names}


def test_imports_go_down_only() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {other}"
        for package, path, tree in modules()
        for other in imported(tree) & set(PACKAGES) - {package} - MAY_IMPORT[package]
    ]
    assert wrong == []


def test_files_and_functions_are_readable_in_one_sitting() -> None:
    long = []
    for _, path, tree in modules():
        lines = len(path.read_text().splitlines())
        if lines > 500:
            long.append(f"{path.relative_to(ROOT)}: {lines} lines, at most 500")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > 60:
                    long.append(f"{path.relative_to(ROOT)}: {node.name} has {length} lines, at most 60")
    assert long == []


def test_public_names_are_documented() -> None:
    missing = []
    for _, path, tree in modules():
        where = str(path.relative_to(ROOT))
        if tree.body and not ast.get_docstring(tree):
            missing.append(where)
        for node in tree.body:
            if (
                isinstance(node, ast.FunctionDef | ast.ClassDef)
                and not node.name.startswith("_")
                and not ast.get_docstring(node)
            ):
                missing.append(f"{where}: {node.name}")
    assert missing == []


def test_nothing_executes_data() -> None:
    """No pickle, no eval of text, no shell; one weights-only torch.load, in the importer of published checkpoints."""
    found, loads = [], []
    for _, path, tree in modules():
        where = str(path.relative_to(ROOT))
        if banned := imported(tree) & {"pickle", "cloudpickle", "dill", "marshal", "shelve"}:
            found.append(f"{where} imports {banned}")
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            call = ast.unparse(node.func)
            keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if call in {"eval", "exec", "os.system", "yaml.load"}:
                found.append(f"{where}:{node.lineno} calls {call}")
            if keywords.get("allow_pickle") == "True" or keywords.get("shell") == "True":
                found.append(f"{where}:{node.lineno} passes allow_pickle or shell")
            if call == "torch.load":
                loads.append((where, keywords.get("weights_only")))
    assert found == []
    assert all(where.startswith("pvit_model/") and flag == "True" for where, flag in loads)
    assert len(loads) <= 1


def test_the_project_names_no_machine() -> None:
    """No absolute machine paths in anything that ships."""
    pattern = re.compile(r"(?<![\w.])/(work|root|home)/")
    files = [p for p in ROOT.rglob("*") if p.suffix in {".py", ".md", ".toml", ".yaml", ".html"} and p.is_file()]
    files = [p for p in files if not {".venv", ".git", "out"} & set(p.relative_to(ROOT).parts) and p != Path(__file__)]
    assert [str(p) for p in files if pattern.search(p.read_text())] == []


@pytest.mark.parametrize(
    "statement",
    [
        "import pvit_data",
        "import pvit_cli.data as d, contextlib, io\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): d.main(['--help'])",
    ],
)
def test_light_imports(statement: str) -> None:
    """`import pvit_data` and `pvit-data --help` load no heavy library."""
    heavy = ["torch", "datasets", "webdataset", "av", "dask", "distributed"]
    code = f"{statement}\nimport sys\nprint([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
