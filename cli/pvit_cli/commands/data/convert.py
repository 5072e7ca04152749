"""`pvit-data convert SOURCE ROOT OUT`: a raw dataset to shards. Each source has its own flags, from its options."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from pvit_cli.common import EXIT_OK
from pvit_cli.flags import Flag, make_command, optional, source_group
from pvit_cli.output import print_json, say
from pvit_cli.progress import progress
from pvit_data.errors import UsageError
from pvit_data.words import first_problem

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_MANY = tuple[str, ...]


_OF_SOURCES = ("holdout", "no_holdout", "shard_size", "reencode")
"""What a layer takes from its base."""


def _layer_flags() -> list[Flag]:
    """What the conversion to a layer can be told."""
    text = "what the layer is made over: a folder or URL with shards, or URL#SOURCE; default: ROOT"
    own = [Flag("base", str | None, None, text, "What is converted")]
    return own + [flag for flag in _engine_flags(1.0) if flag.name not in _OF_SOURCES]


def _engine_flags(holdout: float) -> list[Flag]:
    """What every conversion can be told, whatever its source."""
    return _flags_of_content(holdout) + _flags_of_work()


def _flags_of_content(holdout: float) -> list[Flag]:
    what = "What is converted"
    return [
        Flag("limit", int, 0, "at most so many samples; 0: all", what, 0),
        Flag("filter", _MANY, (), "only keys or groups like this, e.g. ai_001_*", what),
        Flag(
            "holdout",
            float,
            holdout,
            "percent of the groups that become val where the source has no splits",
            what,
            0,
            100,
        ),
        Flag("no_holdout", bool, False, "the same as --holdout 0", what),
        Flag("shard_size", str, "256MB", "size of a shard", what),
        Flag(
            "encode",
            _MANY,
            (),
            "storage of a field: depth=float32, depth=uint16:0.001, normal=octahedral",
            what,
        ),
        Flag(
            "reencode",
            str,
            "",
            "make pictures smaller: short-side=320,gop=16,fps=15 or some of these; only gop where frames are annotated",
            what,
        ),
        Flag(
            "append", bool, False, "also convert groups that came to ROOT since the last time", what
        ),
        Flag("overwrite", bool, False, "remove this source from OUT first", what),
    ]


def _flags_of_work() -> list[Flag]:
    how = "How it is run"
    return [
        Flag("workers", int, 0, "processes; 0: one per core where it pays", how, 0),
        Flag(
            "scheduler",
            str | None,
            None,
            "tls://HOST:PORT of a Dask scheduler to use instead of local processes",
            how,
        ),
        Flag("tls_ca", Path | None, None, "the cluster's certificate authority, PEM", how),
        Flag("tls_cert", Path | None, None, "certificate of this client, signed by it, PEM", how),
        Flag("tls_key", Path | None, None, "private key of that certificate, PEM", how),
        Flag("task_index", int, 0, "number of this job in a job array", how, 0),
        Flag("num_tasks", int, 1, "jobs in the job array", how, 1),
        Flag("max_failed", str, "10", "percent of the samples that may fail", how),
        Flag("retry_failed", bool, False, "convert shards again in which samples failed", how),
        Flag("check_space", bool, True, "refuse to start on a disk that is too small", how),
        Flag("follow_links", bool, False, "read what links in ROOT lead to outside of it", how),
        Flag(
            "dry_run",
            bool,
            False,
            "say what would be converted and how large it gets; write nothing",
            how,
        ),
        Flag("json", bool, False, "print the report as JSON", how),
    ]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    group = typer.Typer(
        cls=source_group(_names, _build), no_args_is_help=True, rich_markup_mode="markdown"
    )
    text = (
        "Convert a raw dataset to shards: SOURCE ROOT OUT [options]. "
        "The same command continues after an interruption."
    )
    app.add_typer(group, name="convert", help=text)


def _names() -> list[str]:
    from pvit_converters import registry

    return registry.names()


def _build(name: str) -> Any:
    from pvit_converters import LayerConverter, registry

    converter = registry.load(name)
    help = f"Convert {converter.info.title}.\n\n{converter.info.obtain}"
    is_layer = issubclass(converter, LayerConverter)
    flags = option_flags(converter) + (
        _layer_flags() if is_layer else _engine_flags(converter.holdout)
    )
    function = _convert_layer if is_layer else _convert
    return make_command(name, partial(function, converter), flags, help)


def option_flags(converter: Any) -> list[Flag]:
    """One flag per option of a converter."""
    flags = []
    for name, field in converter.Options.model_fields.items():
        bounds = {
            key: getattr(m, key) for m in field.metadata for key in ("ge", "le") if hasattr(m, key)
        }
        kind = optional(field.annotation, field.default)
        panel = f"Options of {converter.info.name}"
        text = field.description or ""
        flags.append(
            Flag(name, kind, field.default, text, panel, bounds.get("ge"), bounds.get("le"))
        )
    return flags


def _convert(
    converter: Any,
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="folder of the raw data")],
    out: Annotated[
        str,
        typer.Argument(metavar="OUT", help="folder or URL of the dataset; its other sources stay"),
    ],
    values: dict[str, Any],
) -> int:
    return _start(converter, root, out, values)


def _convert_layer(
    converter: Any,
    root: Annotated[
        str,
        typer.Argument(
            metavar="ROOT",
            help="folder of the raw annotations, or folder or URL of the base, if it is all that is needed",
        ),
    ],
    out: Annotated[
        str,
        typer.Argument(
            metavar="OUT",
            help="folder or URL that gets layers/NAME: that of the base, or another",
        ),
    ],
    values: dict[str, Any],
) -> int:
    return _start(converter, root, out, values)


def _start(converter: Any, root: Path | str, out: str, values: dict[str, Any]) -> int:
    from pvit_converters.asked import apart
    from pvit_converters.engine.plan import Settings
    from pvit_converters.engine.run import Job
    from pvit_converters.raw.reencoding import Reencoding

    own = {name: value for name, value in values.items() if name in converter.Options.model_fields}
    of_source: dict[str, Any] = {}
    if "shard_size" in values:
        holdout = 0 if values["no_holdout"] else values["holdout"]
        of_source = {"shard_bytes": parse_size(values["shard_size"]), "holdout": holdout}
        if values["reencode"]:
            of_source["reencoding"] = Reencoding.parse(values["reencode"])
    settings = Settings(
        **of_source,
        limit=values["limit"],
        filters=values["filter"],
        encodings=parse_encodings(values["encode"]),
    )
    passed_on = (
        "workers task_index num_tasks append overwrite retry_failed check_space follow_links"
    )
    job = Job(
        converter=converter,
        root=root,
        out=out,
        options=_options(converter, own),
        settings=settings,
        max_failed=parse_percent(values["max_failed"]),
        scheduler=_scheduler(values),
        base=values.get("base") or "",
        **{name: values[name] for name in passed_on.split()},
    )
    job, layers = apart(job)
    run = _preview if values["dry_run"] else _run
    return run(job, layers, values["json"])


def _scheduler(values: dict[str, Any]) -> Any:
    from pvit_converters.engine.executors.cluster import Scheduler

    files = {name: values[f"tls_{name}"] for name in ("ca", "cert", "key")}
    if values["scheduler"] is not None:
        return Scheduler(values["scheduler"], **files)
    if given := [f"--tls-{name}" for name, path in files.items() if path is not None]:
        raise UsageError(f"{given[0]}: only of use with --scheduler")
    return None


def _options(converter: Any, values: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    try:
        return converter.Options(**values)
    except ValidationError as error:
        raise UsageError(f"options of {converter.info.name}: {first_problem(error)}") from error


def _preview(job: Any, layers: list[Any], as_json: bool) -> int:
    from pvit_converters.engine.preview import as_text, preview

    found = preview(job)
    found.notes += [f"then {layer.name} is made over it, from {layer.root}" for layer in layers]
    print_json(found.model_dump(mode="json")) if as_json else say(*as_text(found).splitlines())
    return EXIT_OK


def _run(job: Any, layers: list[Any], as_json: bool) -> int:
    """Converts the source, then the layers that its options ask for."""
    from pvit_converters.engine.report import as_text, to_json
    from pvit_converters.engine.run import convert, require_success

    reports: list[Any] = []
    try:
        for each in (job, *layers):
            with progress(f"convert {each.name}") as update:
                reports.append(convert(each, update))
            if not as_json:
                say(*as_text(reports[-1]).splitlines())
            require_success(each, reports[-1])
            if not reports[-1].complete:
                break
    finally:
        if as_json and reports:
            first, *more = (to_json(report, out=job.out) for report in reports)
            print_json(first | ({"layers": more} if more else {}))
    if not as_json:
        say(_next_step(job, reports[0]))
    return EXIT_OK


def _next_step(job: Any, report: Any) -> str:
    if not report.complete:
        return f"next: the other tasks of the array; the last one (or pvit-data finish {job.out}) builds the manifest"
    if "/" in report.source:  # a layer
        return f"next: pvit-data show {job.out}    (--append follows when the base grows)"
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
            raise UsageError(
                f"--encode {name}{found}{codec}: expected FIELD=CODEC, for example depth=float32"
            )
    return {name: codec for name, _, codec in pairs}
