"""Errors are one line with the right exit code, whatever raises them."""

import errno
from typing import Annotated

import pytest
import typer

from pvit_cli.common import new_app, run
from pvit_cli.output import print_json
from pvit_data.errors import ConfigError, Interrupted, SourceError, UsageError

ERRORS = {
    "usage": (UsageError("no such thing"), 2, "error: no such thing"),
    "config": (ConfigError("bad recipe"), 2, "error: bad recipe"),
    "source": (SourceError("file.hdf5: truncated\nsecond line"), 1, "error: file.hdf5: truncated second line"),
    "interrupted": (Interrupted("stopped"), 75, "error: stopped"),
    "ctrl-c": (KeyboardInterrupt(), 75, "error: interrupted; run the same command again"),
    "full": (OSError(errno.ENOSPC, "No space", "out/x.tar"), 1, "error: out/x.tar: no space left on the device"),
    "module": (
        ModuleNotFoundError("No module named 'torch'", name="torch"),
        1,
        "error: this needs the package 'torch'",
    ),
    "compiler": (
        RuntimeError("warning\n" * 9999),
        1,
        f"error: unexpected RuntimeError: {('warning ' * 99)[:500]}... (run again with --debug",
    ),
    "bug": (KeyError("x"), 1, "error: unexpected KeyError: 'x' (run again with --debug for the traceback)"),
}


def make_app() -> typer.Typer:
    app = new_app("An application.")

    @app.command()
    def fail(kind: str, number: int = 0) -> None:
        """Raises an error."""
        raise ERRORS[kind][0]

    @app.command()
    def work(shard_size: Annotated[int, typer.Option(help="bytes")] = 1, code: int = 0) -> int:
        """Prints its option and ends with the given code."""
        print_json({"shard_size": shard_size})
        return code

    return app


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_are_one_line_with_their_exit_code(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, code, text = ERRORS[kind]
    assert run(make_app(), ["fail", kind], "tool") == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(text)
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["wrok"], ["No such command 'wrok'", "'work'", "tool --help"]),
        (
            ["work", "--shard-sise", "3"],
            ["no option '--shard-sise'", "mean '--shard-size'?", "tool work --help"],
        ),
        (["work", "--shard-size", "big"], ["--shard-size", "integer. See"]),
        (["work", "--shard-size"], ["--shard-size"]),
        (["fail"], ["Missing argument", "'kind'"]),
        (["work", "extra"], ["extra"]),
    ],
)
def test_usage_errors_name_the_mistake(argv: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(make_app(), argv, "tool") == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


def test_debug_shows_the_traceback_wherever_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--debug", "fail", "source"], ["fail", "source", "--debug"]):
        assert run(make_app(), argv, "tool") == 1
        err = capsys.readouterr().err
        assert "Traceback" in err
        assert err.splitlines()[-1] == "error: file.hdf5: truncated second line"


def test_results_and_codes_pass_through(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(make_app(), ["work", "--shard-size", "7"], "tool") == 0
    assert capsys.readouterr().out == '{\n  "shard_size": 7\n}\n'
    assert run(make_app(), ["work", "--code", "1"], "tool") == 1


def test_help_and_bare_call(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(make_app(), ["--help"], "tool") == 0
    assert "--debug shows tracebacks" in capsys.readouterr().out
    assert run(make_app(), [], "tool") == 2
    out, err = capsys.readouterr()
    assert "work" in out + err
