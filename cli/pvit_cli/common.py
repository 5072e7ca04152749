"""How every command ends: one line per error, one exit code per kind.

`run` executes a typer application. Whatever goes wrong becomes `error: ...` on stderr, without traceback or box:
usage errors exit 2, other `PvitError`s and unexpected errors 1, interruptions 75. `--debug` anywhere on the command
line shows the traceback as well, `-v` turns on the log. Nothing here knows a command.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import platform
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from pvit_cli.output import LogFormatter, print_traceback, safe, say, warn
from pvit_data.errors import Interrupted, PvitError
from pvit_data.words import did_you_mean

EXIT_OK, EXIT_PROBLEM, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 75
GLOBAL_FLAGS = {"--debug", "-v", "--verbose"}
HELP_FLAGS = ("-h", "--help")
MOST_SAID = 500
"""Characters of an error that is none of ours."""
HELP_NOTE = "Everywhere: --debug shows tracebacks, -v shows the log."

_OS_ERRORS = {
    errno.ENOSPC: "no space left on the device; free some space and run the same command again (finished work is kept)",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again (finished work is kept)",
    errno.EFBIG: "the file would be larger than the system allows; finished work is kept",
    errno.EACCES: "permission denied; check the owner and mode of that path",
    errno.EPERM: "operation not permitted; check the owner and mode of that path",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOENT: "no such file or folder",
    errno.ENOTDIR: "a part of that path is a file, not a folder",
    errno.EISDIR: "that is a folder, not a file",
    errno.EMFILE: "too many open files; raise the limit (ulimit -n) or use fewer workers",
}


def new_app(help: str, **settings: Any) -> typer.Typer:
    """A typer application with the settings that all our commands share.

    Args:
        help: the text above the list of commands.
        settings: further arguments of `typer.Typer`.
    """
    defaults: dict[str, Any] = {
        "help": help,
        "epilog": HELP_NOTE,
        "no_args_is_help": True,
        "pretty_exceptions_enable": False,
        "context_settings": {"help_option_names": [*HELP_FLAGS]},
    }
    return typer.Typer(**(defaults | settings))


def assemble(package: str, commands: Sequence[str], help: str, **settings: Any) -> typer.Typer:
    """An application whose commands are the modules of a package; each adds itself in its `register(app)`.

    Args:
        package: its full name.
        commands: names of its modules, in the order of the help page.
        help: the text above the list of commands.
        settings: further arguments of `typer.Typer`.
    """

    class Ordered(TyperGroup):
        """Lists commands in their order; typer would put those with sub-commands last."""

        def list_commands(self, ctx: Any) -> list[str]:
            return sorted(super().list_commands(ctx), key=commands.index)

    app = new_app(help, cls=Ordered, **settings)
    app.callback(help=help)(_options)
    for name in commands:
        import_module(f"{package}.{name}").register(app)
    return app


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Show versions and exit.",
            is_eager=True,
            callback=lambda asked: _versions(asked),
        ),
    ] = False,
) -> None:
    """Options of the application itself."""


def _versions(asked: bool) -> None:
    """Prints what somebody who helps wants to know first, and ends."""
    if not asked:
        return
    from importlib import metadata

    from pvit_data.format.manifest import LATER

    say(f"pvit-toolkit {metadata.version('pvit-toolkit')}, format {LATER}")
    say(f"Python {platform.python_version()} on {platform.platform()}")
    for name in ("torch", "torchvision", "av", "pyarrow"):
        try:
            say(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            say(f"{name} is not installed")
    raise typer.Exit


def run(app: typer.Typer, argv: Sequence[str] | None, name: str) -> int:
    """Runs an application and returns its exit code.

    Args:
        app: the application.
        argv: arguments without the program's name; None for those of the process.
        name: the program's name, as it appears in help and errors.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # unless the user wants it
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show is no error
            stream.reconfigure(errors="backslashreplace")
    arguments, flags = _split_flags(sys.argv[1:] if argv is None else list(argv))
    if flags & {"-v", "--verbose"}:
        handler = logging.StreamHandler()
        handler.setFormatter(LogFormatter("%(levelname)s %(name)s: %(message)s"))
        logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    showing, warnings.showwarning = warnings.showwarning, warn
    is_group = (
        app.registered_callback is not None
    )  # others may be one command, which this would run
    if is_group and (not arguments or arguments[0] in HELP_FLAGS):
        _name_only(app)
    try:
        return _run(app, arguments, name, debug="--debug" in flags)
    finally:
        warnings.showwarning = showing


def _name_only(app: typer.Typer) -> None:
    """Leaves of each command what the list of all shows: its name and help."""
    for command in app.registered_commands:
        if command.callback is not None:
            command.callback = _named_alike(command.callback)


def _named_alike(function: Callable[..., Any]) -> Callable[[], None]:
    def nothing() -> None:
        pass

    nothing.__name__, nothing.__doc__ = function.__name__, function.__doc__
    return nothing


def _run(app: typer.Typer, arguments: list[str], name: str, *, debug: bool) -> int:
    try:
        code = get_command(app).main(args=arguments, prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output went away (`| head`); nothing is wrong, and there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except (Exception, KeyboardInterrupt) as error:
        return _report(error, debug=debug)
    if code == 130:  # typer's own translation of Ctrl-C
        return _report(KeyboardInterrupt(), debug=debug)
    return code if isinstance(code, int) else EXIT_OK


def _split_flags(argv: list[str]) -> tuple[list[str], set[str]]:
    end = argv.index("--") if "--" in argv else len(argv)
    flags = {a for a in argv[:end] if a in GLOBAL_FLAGS}
    return [a for a in argv[:end] if a not in GLOBAL_FLAGS] + argv[end:], flags


def _report(error: BaseException, *, debug: bool) -> int:
    if debug:
        print_traceback(error)
    if (
        type(error).__name__ == "NoArgsIsHelpError"
    ):  # a group without a command: its help is the answer
        say(*str(error).splitlines(), stderr=True)
        return EXIT_USAGE
    message, code = describe(error)
    say(f"error: {message}", stderr=True)
    return code


def describe(error: BaseException) -> tuple[str, int]:
    """What an error says on one line, and the exit code that belongs to it."""
    message, code = _describe(error)
    return safe(" ".join(message.split())), code


def _describe(error: BaseException) -> tuple[str, int]:
    if isinstance(error, Interrupted):
        return str(error), EXIT_INTERRUPTED
    if isinstance(error, PvitError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        return "interrupted; run the same command again", EXIT_INTERRUPTED
    if hasattr(error, "format_message"):  # typer's own errors; their classes moved between releases
        return _describe_usage(error)
    if isinstance(error, OSError):
        return _describe_os(error), EXIT_PROBLEM
    if isinstance(error, ModuleNotFoundError):
        return (
            f"this needs the package '{error.name}': pip install 'pvit-toolkit[train]'",
            EXIT_PROBLEM,
        )
    if isinstance(error, MemoryError):
        return "out of memory; use fewer workers or smaller inputs", EXIT_PROBLEM
    said = " ".join(str(error).split())
    if len(said) > MOST_SAID:  # as of a compiler, which says all of its warnings
        said = f"{said[:MOST_SAID]}..."
    return (
        f"unexpected {type(error).__name__}: {said} (run again with --debug for the traceback)",
        EXIT_PROBLEM,
    )


def _describe_usage(error: Any) -> tuple[str, int]:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else ""
    if (option := getattr(error, "option_name", None)) and hasattr(error, "possibilities"):
        parameters = context.command.params if context else []
        known = [name for p in parameters for name in p.opts + p.secondary_opts]
        name = option.lstrip("-")
        if name in known:  # of an argument
            message = f"no option '{option}': {name.upper()} is given without it"
        else:
            message = f"no option '{option}'{did_you_mean(option, known)}"
    else:
        message = str(error.format_message())
    message += "" if message.endswith((".", "?", "!")) else "."
    hint = f" See '{command} --help'." if command else ""
    return f"{message}{hint}", int(getattr(error, "exit_code", EXIT_USAGE))


def _describe_os(error: OSError) -> str:
    cause = _OS_ERRORS.get(error.errno or 0, error.strerror or str(error) or type(error).__name__)
    path = error.filename2 or error.filename
    return f"{os.fspath(path)}: {cause}" if isinstance(path, str | os.PathLike) else cause
