"""What strangers named is shown on the terminal, never obeyed: in tables, errors, JSON and progress."""

import ast
import io
import json
import re
import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvit_cli import data, model
from pvit_cli.output import SafeConsole, console, new_table, print_json, safe, say, styled
from pvit_data import LabelSpace, Sample, ShardWriter
from pvit_data.sample.sample import Boxes

ROOT = Path(__file__).parents[2]
ESC = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\u2066[/x][bold]:boom:"
"""Clears the screen, sets the title, turns the text around, and is no balanced markup."""


def obeyed(text: str) -> set[str]:
    """Characters that a terminal would obey, or that turn or hide what is beside them."""
    return {c for c in text if c != "\n" and unicodedata.category(c)[0] == "C"}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset whose names are all hostile."""
    out = tmp_path_factory.mktemp("hostile") / "d"
    rng = np.random.default_rng(0)
    spaces = {
        "action": LabelSpace(f"act{ESC}", (f"a{ESC}", "b", "c")),
        "segm": LabelSpace("[/x]", (f"sky{ESC}", "box")),
        "boxes": LabelSpace(f"held{ESC}", (f"tool{ESC}",)),
    }
    for split, number in (("train", 6), ("val", 3)):
        with ShardWriter(
            out, "real", split, licence=f"CC0{ESC}", spaces=spaces, role="downstream", tasks=("segm", "boxes"),
            citation=f"me{ESC}", title=f"title{ESC}",
        ) as writer:  # fmt: skip
            for i in range(number):
                rgb = rng.integers(0, 255, (4, 32, 32, 3)).astype(np.uint8)
                segm = np.ones((4, 32, 32), np.uint8)
                box = Boxes(np.array([[0.1, 0.1, 0.5, 0.5]], np.float32), np.array([0]), np.array([0]))
                writer.write(
                    Sample(
                        key=f"{split}{i}", group=f"g{split}{i}", rgb=rgb, fps=10.0, action=i % 3, segm=segm, boxes=box,
                        meta={f"m{ESC}": ESC},
                    )
                )  # fmt: skip
    return out


@pytest.fixture(scope="module")
def hostile_run(hostile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network trained on it."""
    folder = tmp_path_factory.mktemp("hostile-run")
    recipe = folder / "r.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    assert model.main(["train", "--shards", str(hostile), "--recipe", str(recipe), "--out", str(folder / "run")]) == 0
    return folder


RECIPE = (
    f"about: {json.dumps(ESC)}\n"
    """
clip: {downstream: real, num_frames: 4, size: [32, 32], tasks: {real: [action, segm, boxes]}}
mixture: {batch_size: 2}
model: {name: mvitv2_xxs, options: {dense_width: 8, depth: 2, stages: [1], dense_layers: [0, 1], embed_dim: 8}}
optim: {name: adamw, lr: 0.003, steps: 2}
data: {crops: 1, workers: 0}
run: {log_every: 1, eval_every: 2, eval_clips: 2, predictions: 1, threads: 1, watchdog_s: 0}
"""
)
DATA_COMMANDS = {
    "stats": ["stats", "OUT"],
    "stats --json": ["stats", "OUT", "--json"],
    "lineage": ["lineage", "OUT"],
    "lineage --json": ["lineage", "OUT", "--json"],
    "lineage no key": ["lineage", "OUT", f"k{ESC}"],
    "show": ["show", "OUT"],
    "show --json": ["show", "OUT", "0", "--json"],
    "show no key": ["show", "OUT", f"k{ESC}"],
    "where": ["show", "OUT", "--where", f"frames > '{ESC}'"],
    "source": ["stats", "OUT", "--source", ESC],
    "validate": ["validate", "OUT"],
    "validate --json": ["validate", "OUT", "--json"],
    "no folder": ["validate", f"none{ESC}"],
    "gallery --json": ["gallery", "OUT", "--out", "TMP/g.html", "--json"],
    "mix": ["mix", "RECIPE", "--shards", "OUT"],
    "mix --json": ["mix", "RECIPE", "--shards", "OUT", "--json"],
    "mix --set": ["mix", "RECIPE", "--shards", "OUT", "--set", f"optim.{ESC}=3"],
    "debug": ["--debug", "show", "OUT", f"k{ESC}"],
    "no command": [f"x{ESC}"],
}
MODEL_COMMANDS = {
    "train --dry-run": ["train", "--shards", "OUT", "--recipe", "RECIPE", "--out", "TMP/new", "--dry-run"],
    "train": ["train", "--shards", "OUT", "--recipe", "RECIPE", "--out", "TMP/newer"],
    "no recipe": ["train", "--shards", "OUT", "--recipe", f"r{ESC}", "--out", "TMP/no"],
    "no source": ["train", "--shards", "OUT", "--recipe", "RECIPE", "--downstream", ESC, "--out", "TMP/no"],
    "eval": ["eval", "--model", "RUN", "--shards", "OUT"],
    "eval --json": ["eval", "--model", "RUN", "--shards", "OUT", "--json"],
    "info": ["info", "RUN"],
    "info --json": ["info", "RUN", "--json"],
    "predict": ["predict", "VIDEO", "--model", "RUN", "--out", "TMP/p"],
    "predict nothing": ["predict", f"none{ESC}.mp4", "--model", "RUN", "--out", "TMP/p"],
    "no model": ["info", f"./none{ESC}"],
}


@pytest.mark.parametrize("name", [*DATA_COMMANDS, *MODEL_COMMANDS])
def test_no_command_hands_on_what_a_terminal_obeys(
    name: str, hostile: Path, hostile_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pvit_data.codecs.video import encode_video

    video = tmp_path / "clip.mp4"
    video.write_bytes(encode_video(np.zeros((6, 32, 32, 3), np.uint8), fps=6.0))
    places = {
        "OUT": hostile,
        "RUN": hostile_run / "run",
        "TMP": tmp_path,
        "RECIPE": hostile_run / "r.yaml",
        "VIDEO": video,
    }
    words = MODEL_COMMANDS.get(name) or DATA_COMMANDS[name]
    argv = [re.sub("^(OUT|RUN|TMP|RECIPE|VIDEO)\\b", lambda m: str(places[m[1]]), word) for word in words]
    capsys.readouterr()
    code = (model if name in MODEL_COMMANDS else data).main(argv)
    out, err = capsys.readouterr()
    assert obeyed(out + err) == set()
    expected = 1 if name in ("predict nothing",) else 2 if any(ESC in word for word in words) else 0
    assert code == expected, out + err
    if name.endswith("--json"):
        json.loads(out)


def test_the_texts_are_there_all_the_same(hostile: Path, hostile_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = "\\x1b[2J\\x1b]0;owned\\x07\\x9b31m\\u202e\\u2066[/x][bold]:boom:"
    assert data.main(["show", str(hostile)]) == 0
    assert f"licence CC0{shown}" in capsys.readouterr().out
    assert model.main(["eval", "--model", str(hostile_run / "run"), "--shards", str(hostile)]) == 0
    assert "segm/[/x]" in capsys.readouterr().out
    assert data.main(["show", str(hostile), "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["meta"] == {f"m{ESC}": ESC}


def test_written_pages_hold_nothing_that_turns_text(hostile: Path, hostile_run: Path, tmp_path: Path) -> None:
    assert data.main(["gallery", str(hostile), "--out", str(tmp_path / "g.html"), "--title", ESC]) == 0
    figure = ["mix", str(hostile_run / "r.yaml"), "--shards", str(hostile), "--figure", str(tmp_path / "m.svg")]
    assert data.main(figure) == 0
    for page in (tmp_path / "g.html", tmp_path / "m.svg", hostile_run / "run/report.html"):
        assert obeyed(page.read_text(encoding="utf-8")) <= {"\t"}, page


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "300")
    return stream


def test_tables_and_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """There rich writes colours itself; what it writes of names is still harmless."""
    from pvit_cli.progress import progress
    from pvit_model.reporting.view import make_view

    stream = on_a_terminal(monkeypatch)
    table = new_table(f"head{ESC}", "[/x]", title=f"title{ESC}\n")
    table.add_row(f"cell{ESC}", styled((f"cell{ESC}", "bold"), ESC))
    console().print(table)
    console().print(ESC, styled(ESC))
    with progress(f"what{ESC}", f"unit{ESC}") as update:
        update(1, 2)
        update(2, 2)
    values = {"loss": 1.0, "lr": 1.0, "samples_per_s": 1.0, "data_wait": 0.0, "memory_gb": 1.0, "eta_s": 1.0}
    for view in (make_view(console(), 2), make_view(SafeConsole(file=io.StringIO()), 2)):
        view.note(ESC)
        view.update(1, values, {f"segm/{ESC}": 1.0})
        view.close()
    say(ESC, stderr=True)
    written = stream.getvalue()
    assert "\\x1b[2J" in written
    for command in ("\x1b[2J", "\x1b]0;", "\x07", "\x9b", "\u202e", "\u2066"):
        assert command not in written, repr(command)


def test_a_line_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\nPROBLEM: b", "c\td\r")
    assert capsys.readouterr().out == "a\\nPROBLEM: b\nc\\td\\r\n"
    say()
    assert capsys.readouterr().out == "\n"
    assert safe("手\u3000のひら\xa0é") == "手\u3000のひら\xa0é"


@pytest.mark.parametrize("value", [ESC, {ESC: [ESC, 1, None]}, "\U000e0001", "a\nb\t", "\udcff"])
def test_json_is_the_same_value(value: Any, capsys: pytest.CaptureFixture[str]) -> None:
    print_json(value)
    out = capsys.readouterr().out
    assert obeyed(out) == set()
    assert json.loads(out) == value


def test_warnings_and_logs_take_the_same_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import logging

    from pvit_cli.common import new_app, run

    app = new_app("An application.")

    @app.command()
    def work() -> None:
        """Says things."""
        warnings.warn(f"careful {ESC} https://me:secret@host/x", stacklevel=1)
        logging.getLogger("x").info("log %s https://me:secret@host/x?Signature=abc", ESC)

    before = logging.root.handlers[:]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            assert run(app, ["-v"], "tool") == 0
    finally:
        logging.root.handlers[:] = before
        logging.root.setLevel(logging.WARNING)
    err = capsys.readouterr().err
    assert obeyed(err) == set()
    assert "secret" not in err
    assert "abc" not in err
    assert err.startswith("warning: careful ")


def test_commands_print_through_one_place() -> None:
    """No `print(`, no console and no stream of their own anywhere but in `pvit_cli.output`."""
    found = []
    folders = ("cli/pvit_cli", "pvit_data", "pvit_model", "converters/pvit_converters")
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        where = path.relative_to(ROOT).as_posix()
        if where == "cli/pvit_cli/output.py":
            continue
        found += [f"{where}:{line}: {call}" for line, call in printing(ast.parse(path.read_text(encoding="utf-8")))]
    assert found == []


def printing(tree: ast.Module) -> list[tuple[int, str]]:
    calls = [(node.lineno, node) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    wrong = re.compile(
        r"print|(rich\.)?print|typer\.(echo|secho)|click\.echo|sys\.std(out|err)\.write|.*from_markup|Console"
    )
    names = [(line, ast.unparse(node.func), ast.unparse(node)) for line, node in calls]
    return [(line, text[:60]) for line, name, text in names if wrong.fullmatch(name) and text != "Console(quiet=True)"]


def test_the_finder_of_prints_finds_them() -> None:
    wrong = "print(a)\nConsole()\nsys.stderr.write(b)\nText.from_markup(c)"
    code = f"{wrong}\nout.print(d)\nConsole(quiet=True)\ntyper.echo(e)"
    assert [line for line, _ in printing(ast.parse(code))] == [1, 2, 3, 4, 7]


def test_a_pipe_that_closes_is_no_error(hostile: Path) -> None:
    command = f"{sys.executable} -m pvit_cli.data stats {hostile} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, check=True)
    assert done.stderr == b""
