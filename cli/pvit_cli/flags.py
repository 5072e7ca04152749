"""Commands whose flags come from data: from a converter's options or a simulator's keywords.

`SourceGroup` is a group with one sub-command per source, which is imported only when it is asked for.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import typer
from typer.core import TyperGroup

from pvit_data.errors import PvitError, UsageError


@dataclass(frozen=True)
class Flag:
    """A command-line option.

    Args:
        name: as a Python name.
        type: its type; `tuple[str, ...]` (or int) takes the flag several times, or values separated by commas.
        default: its default.
        help: what it does.
        panel: heading in the help page under which it stands.
        minimum, maximum: of a number.
    """

    name: str
    type: Any
    default: Any
    help: str
    panel: str
    minimum: float | None = None
    maximum: float | None = None

    def parameter(self) -> inspect.Parameter:
        """The parameter from which typer makes the option."""
        dashed = self.name.replace("_", "-")
        is_many = get_origin(self.type) is tuple
        has_opposite = self.type is bool and self.default
        declaration = f"--{dashed}/--no-{dashed}" if has_opposite else f"--{dashed}"
        option = typer.Option(
            declaration,
            help=self.help,
            min=self.minimum,
            max=self.maximum,
            rich_help_panel=self.panel,
            show_default=not is_many,
        )
        kind: Any = list[str] if is_many else self.type
        annotation: Any = Annotated[kind, option]
        default = [str(value) for value in self.default] if is_many else self.default
        return inspect.Parameter(
            self.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )

    def value(self, given: Any) -> Any:
        """The option's value from what typer parsed.

        Raises:
            UsageError: when one of several values does not have the type.
        """
        if get_origin(self.type) is tuple:
            return tuple(
                self._item(part) for text in given or () for part in text.split(",") if part
            )
        return given.absolute() if isinstance(given, Path) else given

    def _item(self, text: str) -> Any:
        kind = get_args(self.type)[0]
        try:
            return kind(text)
        except ValueError:
            raise UsageError(
                f"--{self.name.replace('_', '-')}: '{text}' is not of type {kind.__name__}"
            ) from None


def plain_type(annotation: Any) -> Any:
    """`X` for `X | None`: to a command line, None only means "not given"."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next(part for part in get_args(annotation) if part is not type(None))
    return annotation


def optional(annotation: Any, default: Any) -> Any:
    """The type that typer needs: optional where the default is None."""
    plain = plain_type(annotation)
    return plain | None if default is None and isinstance(plain, type) else plain


def with_flags(function: Callable[..., Any], flags: Sequence[Flag]) -> Callable[..., Any]:
    """A function for typer that calls another with its own parameters and `values`, a dict of the flags.

    Args:
        function: has a keyword parameter `values`; its other parameters are typer's as usual.
        flags: further options.
    """
    signature = inspect.signature(function, eval_str=True)
    own = [p for p in signature.parameters.values() if p.name != "values"]

    def command(**arguments: Any) -> Any:
        values = {flag.name: flag.value(arguments.pop(flag.name)) for flag in flags}
        return function(**arguments, values=values)

    parameters = [p for p in own if p.default is inspect.Parameter.empty]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    parameters += [flag.parameter() for flag in flags]
    parameters += [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for p in own
        if p.default is not inspect.Parameter.empty
    ]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = function.__doc__
    return command


def make_command(name: str, function: Callable[..., Any], flags: Sequence[Flag], help: str) -> Any:
    """A command of its own that calls `function` with its own parameters and `values`, a dict of the flags.

    Args:
        name: of the command.
        function, flags: see `with_flags`.
        help: text of the help page.
    """
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    settings = {"help_option_names": ["-h", "--help"]}
    app.command(name, help=help, context_settings=settings)(with_flags(function, flags))
    return typer.main.get_command(app)


def source_group(
    names: Callable[[], Iterable[str]], build: Callable[[str], Any]
) -> type[TyperGroup]:
    """A group class whose sub-commands are sources.

    Args:
        names: lists the sources without importing them.
        build: makes the command of one, or raises `UsageError` for an unknown name.
    """

    class SourceGroup(TyperGroup):
        """One sub-command per source."""

        def list_commands(self, ctx: Any) -> list[str]:
            return [name for name in names() if self._try(name) is not None]

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            if cmd_name.startswith("-"):
                return None
            return build(cmd_name)

        @staticmethod
        def _try(name: str) -> Any:
            try:
                return build(name)
            except (
                PvitError
            ):  # a third party's converter that cannot be imported must not break the help page
                return None

    return SourceGroup
