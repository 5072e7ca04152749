"""`pvit-data convert SOURCE ROOT OUT`: a raw dataset to shards. Each source has its own flags, from its options."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from pvit_cli.common import EXIT_OK, EXIT_PROBLEM, print_json
from pvit_cli.flags import Flag, make_command, optional, source_group
from pvit_cli.progress import progress
from pvit_data.errors import SourceError, UsageError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_PLAN, _RUN = "What is converted", "How it is run"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    group = typer.Typer(cls=source_group(_names, _build), no_args_is_help=True, rich_markup_mode="markdown")
    text = (
        "Convert a raw dataset to shards: SOURCE ROOT OUT [options]. The same command continues after an interruption."
    )
    app.add_typer(group, name="convert", help=text)


def _names() -> list[str]:
    from pvit_converters import registry

    return registry.names()


def _build(name: str) -> Any:
    from pvit_converters import registry

    converter = registry.load(name)
    help = f"Convert {converter.info.title}.\n\n{converter.info.obtain}"
    return make_command(name, partial(_convert, converter), option_flags(converter), f"Options of {name}", help)


def option_flags(converter: Any) -> list[Flag]:
    """One flag per option of a converter."""
    flags = []
    for name, field in converter.Options.model_fields.items():
        bounds = {key: getattr(m, key) for m in field.metadata for key in ("ge", "le") if hasattr(m, key)}
        kind = optional(field.annotation, field.default)
        flags.append(Flag(name, kind, field.default, field.description or "", bounds.get("ge"), bounds.get("le")))
    return flags


def _convert(
    converter: Any,
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="folder of the raw data")],
    out: Annotated[
        str, typer.Argument(metavar="OUT", help="folder (or fsspec URL) of the dataset; other sources in it stay")
    ],
    values: dict[str, Any],
    limit: Annotated[int, typer.Option(help="at most so many samples; 0: all", min=0, rich_help_panel=_PLAN)] = 0,
    filter: Annotated[
        list[str], typer.Option(help="only keys or groups like this pattern; may be repeated", rich_help_panel=_PLAN)
    ] = [],  # noqa: B006 (typer copies it)
    holdout: Annotated[
        float,
        typer.Option(
            help="percent of groups that become val, if the source has no splits", min=0, rich_help_panel=_PLAN
        ),
    ] = 1,
    no_holdout: Annotated[bool, typer.Option("--no-holdout", help="--holdout 0", rich_help_panel=_PLAN)] = False,
    shard_size: Annotated[str, typer.Option(help="size of a shard, e.g. 256MB", rich_help_panel=_PLAN)] = "256MB",
    encode: Annotated[
        list[str],
        typer.Option(
            help="storage of a field: depth=float32, depth=uint16:0.001, normal=octahedral", rich_help_panel=_PLAN
        ),
    ] = [],  # noqa: B006
    append: Annotated[
        bool, typer.Option("--append", help="also convert groups that are new since then", rich_help_panel=_PLAN)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="remove this source from OUT first", rich_help_panel=_PLAN)
    ] = False,
    workers: Annotated[
        int, typer.Option(help="processes; 0: one per core where it pays", min=0, rich_help_panel=_RUN)
    ] = 0,
    scheduler: Annotated[
        str | None, typer.Option(help="address of a Dask scheduler to use", rich_help_panel=_RUN)
    ] = None,
    task_index: Annotated[int, typer.Option(help="this job's number in a job array", min=0, rich_help_panel=_RUN)] = 0,
    num_tasks: Annotated[int, typer.Option(help="jobs in the job array", min=1, rich_help_panel=_RUN)] = 1,
    max_failed: Annotated[str, typer.Option(help="percent of samples that may fail", rich_help_panel=_RUN)] = "10",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="convert shards with failed samples again", rich_help_panel=_RUN)
    ] = False,
    check_space: Annotated[
        bool, typer.Option(help="refuse to start on a disk that is too small", rich_help_panel=_RUN)
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be converted and how large it gets", rich_help_panel=_RUN)
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the report as JSON", rich_help_panel=_RUN)] = False,
) -> int:
    from pvit_converters.engine.plan import Settings
    from pvit_converters.engine.run import Job

    settings = Settings(
        shard_bytes=parse_size(shard_size),
        holdout=0 if no_holdout else holdout,
        limit=limit,
        filters=tuple(filter),
        encodings=parse_encodings(encode),
    )
    job = Job(
        converter=converter,
        root=root,
        out=out,
        options=_options(converter, values),
        settings=settings,
        workers=workers,
        scheduler=scheduler,
        task_index=task_index,
        num_tasks=num_tasks,
        max_failed=parse_percent(max_failed),
        append=append,
        overwrite=overwrite,
        retry_failed=retry_failed,
        check_space=check_space,
    )
    return _preview(job, as_json) if dry_run else _run(job, as_json)


def _options(converter: Any, values: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    try:
        return converter.Options(**values)
    except ValidationError as error:
        first = error.errors()[0]
        flag = "--" + str(first["loc"][0]).replace("_", "-") if first["loc"] else converter.info.name
        raise UsageError(f"{flag}: {first['msg']}") from error


def _preview(job: Any, as_json: bool) -> int:
    from pvit_converters.engine.preview import as_text, preview

    found = preview(job)
    print_json(found.model_dump(mode="json")) if as_json else print(as_text(found))
    return EXIT_OK


def _run(job: Any, as_json: bool) -> int:
    from pvit_converters.engine.report import as_text, report_name, to_json
    from pvit_converters.engine.run import convert, exceeds

    with progress(f"convert {job.source}") as update:
        report = convert(job, update)
    where = f"{job.out.rstrip('/')}/{report_name(job.source)}"
    if as_json:
        print_json(to_json(report, out=job.out))
    else:
        print(as_text(report))
    if exceeds(report, job.max_failed):
        raise SourceError(
            f"{report.num_failed} of {report.num_failed + report.converted} samples of {job.source} failed, more than "
            f"--max-failed {100 * job.max_failed:g} percent; finished shards are kept, the list is in {where}; "
            f"first: {report.failures[0].message}"
        )
    if not as_json:
        print(_next_step(job, report))
    return EXIT_OK if report.complete or job.num_tasks > 1 else EXIT_PROBLEM


def _next_step(job: Any, report: Any) -> str:
    if not report.complete:
        return f"next: the other tasks of the array; the last one (or pvit-data finish {job.out}) builds the manifest"
    return f"next: pvit-data show {job.out}    (--append converts groups that are added to {job.root} later)"


def parse_size(text: str) -> int:
    """Bytes from `256MB`, `1G` or `1000000`.

    Raises:
        UsageError: if it is no size.
    """
    number, unit = text.upper().removesuffix("B"), ""
    if number and number[-1] in _UNITS:
        number, unit = number[:-1], number[-1]
    try:
        size = int(float(number) * _UNITS[unit])
    except (ValueError, OverflowError):
        size = 0
    if size < 1:
        raise UsageError(f"--shard-size {text}: expected a size such as 256MB")
    return size


def parse_percent(text: str) -> float:
    """A fraction from `10` or `10%`.

    Raises:
        UsageError: if it is no percentage.
    """
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = -1
    if not 0 <= percent <= 100:
        raise UsageError(f"--max-failed {text}: expected a percentage from 0 to 100")
    return percent / 100


def parse_encodings(texts: list[str]) -> dict[str, str]:
    """`{"depth": "float32"}` from `["depth=float32"]`.

    Raises:
        UsageError: if one is not FIELD=CODEC.
    """
    pairs = [text.partition("=") for text in texts]
    for name, found, codec in pairs:
        if not (name and found and codec):
            raise UsageError(f"--encode {name}{found}{codec}: expected FIELD=CODEC, for example depth=float32")
    return {name: codec for name, _, codec in pairs}
