"""Rules of the house, counted so that they cannot drift: rooms and their doors, sizes, one home for each name's list.

`python -m pytest tests/test_house_rules.py -k rooms -s` prints the arrows between the rooms.
"""

import ast
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
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
ROOMS = {
    "pvit_data": {
        "sample": set(),
        "storage": set(),
        "codecs": {"sample"},
        "format": {"sample", "storage"},
        "reading": {"sample", "storage", "codecs", "format"},
        "writing": {"sample", "storage", "codecs", "format", "reading"},  # layers, of their bases
        "clips": {"sample", "codecs"},
        "tasks": {"sample", "clips"},
        "mixing": {"sample", "codecs", "tasks", "clips", "reading"},
        "loading": {"sample", "codecs", "clips", "tasks", "mixing"},
        "looking": {"sample", "storage", "codecs", "format", "reading", "mixing"},
        "validate": {"sample", "storage", "codecs", "format", "writing", "reading"},
        "scoring": {"sample", "storage", "format", "reading"},
        "splitting": {"sample", "storage", "format", "writing", "reading"},
        "lineage": {"sample", "storage", "format", "reading"},
        "publishing": {"sample", "storage", "codecs", "format", "reading", "writing", "looking", "lineage"},
        "machine": {"storage", "codecs", "format"},
        "bridges": {"sample", "storage", "format", "reading"},
    },
    "pvit_model": {
        "backbones": set(),
        "tasks": {"backbones"},
        "network": {"backbones", "tasks"},
        "recipes": {"backbones", "tasks", "network"},
        "runs": {"backbones", "tasks", "network", "recipes"},
        "using": {"backbones", "tasks", "network", "recipes", "runs"},
        "reporting": {"backbones", "tasks", "network", "recipes", "runs", "using"},
        "training": {"backbones", "tasks", "network", "recipes", "runs", "using", "reporting"},
        "publishing": {"backbones", "tasks", "network", "recipes", "runs", "using"},
    },
    "pvit_converters": {
        "raw": set(),
        "annotations": {"raw"},
        **{
            key: {"raw", "annotations"}
            for key in (
                "ava",
                "diving48",
                "ego4d",
                "ehoi",
                "hypersim",
                "kinetics400",
                "phav",
                "something_else",
                "ssv2",
                "surreact",
                "synadl",
                "videos",
            )
        },
        "engine": {"raw"},
        "simulate": set(),
    },
    "pvit_cli": {"commands": set()},
}
"""What each room may import of its own package, besides `BELOW`. Files at a package's top stand above all rooms,
and no room imports them, but for those in `BELOW`."""
BELOW = {
    "pvit_data": {"errors", "words", "plugins"},
    "pvit_model": {"config", "plugins", "ranks"},
    "pvit_converters": {"base", "evenly", "held_out", "layers"},
    "pvit_cli": {"common", "flags", "halfblocks", "options", "output", "progress", "sending"},
}
"""Files at the top of a package that every room of it may import."""
PIPES = {f"converters/pvit_converters/engine/executors/{name}.py" for name in ("processes", "worker")}
"""Files that may pickle: what a process tells one that it started itself, over a pipe that has no name."""
ONE_FILE_EACH = {
    "pvit_data/tasks",
    "pvit_model/tasks",
    "pvit_model/backbones",
    "converters/pvit_converters/simulate",
    "cli/pvit_cli/commands/data",
}
"""Folders with a file per task, backbone, source or command: as many as there are."""
MAX_MODULES, MAX_LINES, MAX_FUNCTION, MAX_P90, MAX_COLUMNS = 12, 450, 60, 28, 100


def modules() -> Iterator[tuple[str, Path, ast.Module]]:
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            yield package, path, ast.parse(path.read_text(encoding="utf-8"))


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


def module_name(package: str, path: Path) -> str:
    inside = path.relative_to(PACKAGES[package].parent).with_suffix("")
    return ".".join(inside.parts).removesuffix(".__init__")


def arrows() -> Iterator[tuple[str, str]]:
    """(importing, imported) for every import of our own modules, inside functions and for type checking too."""
    files = {module_name(package, path): (path, tree) for package, path, tree in modules()}
    for name, (path, tree) in files.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                inner = [f"{node.module}.{alias.name}" for alias in node.names]
                targets = [full if full in files else str(node.module) for full in inner]
            else:
                assert not isinstance(node, ast.ImportFrom), f"{path}: relative import"
                continue
            yield from ((name, target) for target in targets if target in files and target != name)


def room_of(module: str) -> str:
    """The room of a module, or the module itself at a package's top (`""` for the package)."""
    return module.split(".")[1] if "." in module else ""


def test_rooms_import_downward_only() -> None:
    table: Counter[tuple[str, str, str]] = Counter()
    wrong = set()
    for source, target in arrows():
        package = source.split(".")[0]
        if package not in ROOMS or target.split(".")[0] != package:
            continue
        room, other = room_of(source), room_of(target)
        if room == other:
            continue
        table[package, room or "(top)", other or "(top)"] += 1
        known = ROOMS[package]
        if room in known:
            allowed = known[room] | BELOW[package]
        elif room in BELOW[package]:
            allowed = BELOW[package]
        else:
            allowed = {*known, *BELOW[package], *(m for m in [other] if m not in known)}
        if other not in allowed:
            wrong.add(f"{source} imports {target}")
    for (package, room, other), count in sorted(table.items()):
        print(f"{package:<16} {room:<12} -> {other:<12} {count}")
    assert sorted(wrong) == []


def test_every_folder_is_a_room() -> None:
    """A new folder gets its reason and its line in the table."""
    for package, rooms in ROOMS.items():
        folders = {p.parent.name for p in PACKAGES[package].glob("*/__init__.py")}
        assert folders == set(rooms), package


def test_no_two_files_import_each_other() -> None:
    below: dict[str, set[str]] = {}
    for source, target in arrows():
        below.setdefault(source, set()).add(target)
    circles = [" <-> ".join(sorted(group)) for group in strongly_connected(below) if len(group) > 1]
    assert circles == []


def strongly_connected(below: dict[str, set[str]]) -> list[set[str]]:
    """Tarjan's algorithm, without recursion: groups of modules that reach each other."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    groups = []
    for root in below:
        work: list[tuple[str, Iterator[str]]] = [(root, iter(below.get(root, ())))] if root not in order else []
        while work:
            node, others = work[-1]
            if node not in order:
                order[node] = low[node] = len(order)
                stack.append(node)
                on_stack.add(node)
            for other in others:
                if other not in order:
                    work.append((other, iter(below.get(other, ()))))
                    break
                if other in on_stack:
                    low[node] = min(low[node], order[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    cut = stack.index(node)
                    groups.append(set(stack[cut:]))
                    on_stack -= groups[-1]
                    del stack[cut:]
    return groups


def test_the_finder_of_circles_finds_them() -> None:
    groups = strongly_connected({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set(), "f": {"f", "d"}})
    assert {frozenset(g) for g in groups if len(g) > 1} == {frozenset("abc")}


def test_files_and_functions_are_readable_in_one_sitting() -> None:
    long, lengths = [], []
    for _, path, tree in modules():
        where = path.relative_to(ROOT)
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_LINES:
            long.append(f"{where}: {lines} lines, at most {MAX_LINES}")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                lengths.append(length)
                if length > MAX_FUNCTION:
                    long.append(f"{where}: {node.name} has {length} lines, at most {MAX_FUNCTION}")
    assert long == []
    assert sorted(lengths)[int(0.9 * len(lengths))] <= MAX_P90


def test_no_folder_is_a_hall() -> None:
    """A stranger finds the file by its folder's name; more than a dozen modules, and he searches."""
    crowded = []
    for folder in {path.parent for _, path, _ in modules()}:
        where = folder.relative_to(ROOT).as_posix()
        number = len([p for p in folder.glob("*.py") if p.name != "__init__.py"])
        if number > MAX_MODULES and where not in ONE_FILE_EACH:
            crowded.append(f"{where}: {number} modules, at most {MAX_MODULES}")
    assert crowded == []


def test_code_is_narrow_and_text_may_be_wider() -> None:
    """100 columns, but for texts (docstrings, comments, messages) and tables marked `fmt: skip`: 120."""
    wide = []
    for _, path, tree in modules():
        lines = path.read_text(encoding="utf-8").splitlines()
        text = set(text_lines(path)) | {n for first, last in tables(tree, lines) for n in range(first, last + 1)}
        for number, line in enumerate(lines, 1):
            if len(line) > (120 if number in text else MAX_COLUMNS):
                wide.append(f"{path.relative_to(ROOT)}:{number}: {len(line)} columns")
    assert wide == []


def text_lines(path: Path) -> Iterator[int]:
    """Lines that a string or a comment carries past the last column of code."""
    kinds = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type in kinds:
                for number in range(token.start[0], token.end[0] + 1):
                    if number < token.end[0] or token.end[1] >= MAX_COLUMNS:
                        yield number


def tables(tree: ast.Module, lines: list[str]) -> Iterator[tuple[int, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and "fmt: skip" in lines[(node.end_lineno or 1) - 1]:
            yield node.lineno, node.end_lineno or node.lineno


NAMES = {"rgb", "depth", "normal", "segm", "pose3d", "pose3d_valid", "pose2d", "boxes", "action", "actions", "camera"}
"""Fields of a sample, among them the names of the tasks."""
TABLES = {
    "pvit_data/sample/sample.py",  # the fields
    "pvit_data/sample/schema.py",  # what must hold of them
    "pvit_data/codecs/dense.py",  # how maps are stored
    "pvit_data/format/members.py",  # in which files
    "pvit_data/format/index.py",  # by which of them samples are filtered
    "pvit_data/format/manifest.py",  # in which units
    "pvit_data/writing/card.py",  # what other readers see
    "pvit_data/reading/decode.py",  # who decodes what
    "pvit_data/reading/renumbered.py",  # where its class ids stand
    "pvit_data/reading/layers/fields.py",  # what of it a layer gives
    "pvit_data/clips/transforms.py",  # how each follows geometry
    "pvit_data/tv.py",  # and in torchvision's transforms
    "pvit_data/bridges/columns.py",  # what each is in a table of `datasets`
    "pvit_data/tasks/table.py",  # the order of tasks
    "pvit_data/looking/layers.py",  # how each is shown
    "pvit_data/looking/lines.py",  # and described
}  # fmt: skip
"""Files whose business is a list of fields or tasks: one line for each there, and a new one is one more line."""
OWN = re.compile(r"pvit_(data|model)/tasks/\w+\.py|converters/pvit_converters/(?!engine|raw|annotations|base|registry)")
"""A task's own files, and the sources', which name the fields that they fill."""


def test_lists_of_fields_and_tasks_have_one_home() -> None:
    """No `name == "depth"`, no `("depth", "normal")` and no `{"depth": ...}` outside the tables."""
    found = []
    for _, path, tree in modules():
        where = path.relative_to(ROOT).as_posix()
        if where not in TABLES and not OWN.match(where):
            found += [f"{where}:{line}: {text}" for line, text in named(tree)]
    assert found == []


def named(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Comparisons with the name of a field or task, and displays with two or more of them."""
    for node in ast.walk(tree):
        constants: Iterable[ast.expr | None] = ()
        least = 1
        if isinstance(node, ast.Compare):
            constants = [node.left, *node.comparators]
        elif isinstance(node, ast.List | ast.Tuple | ast.Set):
            constants, least = node.elts, 2
        elif isinstance(node, ast.Dict):
            constants, least = node.keys, 2
        elif isinstance(node, ast.MatchValue):
            constants = [node.value]
        names = [c.value for c in constants if isinstance(c, ast.Constant) and c.value in NAMES]
        if len(names) >= least:
            yield node.lineno, ast.unparse(node)[:80]


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("x = name == 'depth'", 1),
        ("x = 'segm' in tasks", 1),
        ("for n in ('depth', 'normal'): pass", 1),
        ("x = {'depth': 1, 'boxes': 2}", 1),
        ("x = spaces.get('segm')", 0),
        ("x = ('depth', 'frames')", 0),
        ("x = sample.depth is None", 0),
    ],
)
def test_the_finder_of_lists_finds_them(code: str, number: int) -> None:
    assert len(list(named(ast.parse(code)))) == number


STORED = {"segm", "actions"}
"""Names inside files that were written before."""
OF_A_BACKBONE = re.compile(r"mvit|blocks\.(\d|N|\{)|h // 4|attention=", re.IGNORECASE)


def literals(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Texts that are no docstrings."""
    told = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.lineno, node.value


def test_tasks_are_named_by_their_own_files_only() -> None:
    """The model and its commands go by the registry, the table of tasks and what each task says of itself."""
    tasks = set(entry_points(group="pvit.tasks").names)
    found = []
    for package, path, tree in modules():
        where = path.relative_to(ROOT).as_posix()
        own = tuple(f"pvit_model/tasks/{name}{end}" for name in tasks for end in (".py", "/"))
        if package not in ("pvit_model", "pvit_cli") or where.startswith(own):
            continue
        for line, text in literals(tree):
            if text.partition("/")[0] in tasks - STORED and (where, text) != ("pvit_model/tasks/__init__.py", "action"):
                found.append(f"{where}:{line}: {text!r}")
    assert found == []


def test_backbones_are_known_by_themselves_only() -> None:
    """Code outside `backbones/` asks the backbone: no name of one, no names of its blocks, no share of the image."""
    found = []
    for package, path, tree in modules():
        where = path.relative_to(ROOT).as_posix()
        if package in ("pvit_model", "pvit_cli") and not where.startswith("pvit_model/backbones/"):
            code = ast.unparse(without_docstrings(tree))
            found += [f"{where}: {line.strip()}" for line in code.splitlines() if OF_A_BACKBONE.search(line)]
    assert found == []


def without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        for name, body in ast.iter_fields(node):
            if name == "body" and isinstance(body, list):
                kept = [n for n in body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
                node.body = kept or [ast.Pass()]
    return tree


def test_text_says_that_it_is_utf8() -> None:
    """Ruff's rule knows a path only where it sees one made; here every reader and writer of text names its encoding."""
    found = []
    for _, path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
                if is_text(name, node) and not {k.arg for k in node.keywords} & {"encoding"}:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)[:80]}")
    assert found == []


def is_text(name: str, node: ast.Call) -> bool:
    """Whether a call reads or writes text of a file, or of a process."""
    keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
    if name in ("read_text", "write_text"):
        return True
    if name == "open" and (node.args or isinstance(node.func, ast.Attribute)):
        owner = ast.unparse(node.func)
        if owner.startswith(("av.", "os.", "Image.", "pvit_data.", "maps.", "tree.", "self.", "gzip.", "fsspec.")):
            return False
        modes = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        return any(set(mode) <= set("rwaxt+") for mode in modes) or (not modes and not node.args and not keywords)
    return keywords.get("text") == "True"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("path.read_text()", True),
        ("path.open('w')", True),
        ("open(name, 'a')", True),
        ("path.open('rb')", False),
        ("subprocess.run(x, text=True)", True),
        ("path.read_bytes()", False),
    ],
)
def test_the_finder_of_text_finds_it(code: str, expected: bool) -> None:
    (node,) = (n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Call))
    assert is_text(str(node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id), node) is expected  # type: ignore[attr-defined]


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
        banned = imported(tree) & {"pickle", "cloudpickle", "dill", "marshal", "shelve"}
        if banned and where not in PIPES:
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
        "import pvit_model; pvit_model.Task, pvit_model.TaskOptions, pvit_model.Shown",
        "import pvit_cli.data as d, contextlib, io\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): d.main(['--help'])",
    ],
)
def test_light_imports(statement: str) -> None:
    """`import pvit_data` and `pvit-data --help` load no heavy library, and a task's file no torch."""
    heavy = ["torch", "datasets", "webdataset", "av", "dask", "distributed"]
    code = f"{statement}\nimport sys\nprint([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
