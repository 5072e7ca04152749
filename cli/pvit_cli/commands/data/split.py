"""`pvit-data split`: protocols of a dataset: who is trained on, who is tested."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pvit_cli.flags import Flag, with_flags
from pvit_cli.options import Json
from pvit_cli.output import console, new_table, print_json, say, styled
from pvit_cli.progress import progress
from pvit_data.errors import UsageError

MOST_CLASSES = 40  # lines of a table


def _flags() -> list[Flag]:
    how, who = "How samples are divided", "Which samples"
    says = "What the protocol says"
    path = Path | None
    return [
        Flag("folds", int, 0, "so many protocols; val is another share of the groups in each", how, 0),
        Flag("holdout", float | None, None, "percent of the groups that become val", how),
        Flag("per_class", int, 0, "samples of each class to train on, in whole groups; the others are test", how, 0),
        Flag("train", path, None, "file with the ids of train", how),
        Flag("val", path, None, "file with the ids of val", how),
        Flag("test", path, None, "file with the ids of test", how),
        Flag("column", str, "", "column of the ids, if the files are CSV with a header", how),
        Flag("match", str, "key", "what ids are: key, or a name in the samples' meta", how),
        Flag("allow_missing", bool, False, "count ids that no sample has", how),
        Flag("seed", int, 0, "another number divides otherwise", how, 0),
        Flag("where", str, "", 'which samples are in at all, e.g. "frames >= 16"', who),
        Flag("of", tuple[str, ...], (), "splits that are divided, e.g. train,val; samples of others keep theirs", who),
        Flag("classes", path, None, "file with the classes that are in, one a line: CLASS or CLASS,NEW NAME", who),
        Flag("licence", str, "", "SPDX id of the protocol's own licence", says),
        Flag("redistributable", bool, False, "the protocol may be published", says),
        Flag("title", str, "", "full name", says),
        Flag("made_by", str, "", "whose division it is", says),
    ]  # fmt: skip


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("split")(with_flags(_split, _flags()))


def _split(
    shards: Annotated[
        str,
        typer.Argument(metavar="SHARDS", help="Folder or URL of the dataset; it is not changed."),
    ],
    name: Annotated[
        str, typer.Option("--name", help="Of the protocol; folds are called NAME-0, NAME-1, ...")
    ],
    values: dict[str, Any],
    source: Annotated[
        str, typer.Option("--source", help="Its source, or a protocol; default: the only source.")
    ] = "",
    out: Annotated[
        str | None,
        typer.Option("--out", help="Folder or URL that gets layers/NAME; default: SHARDS itself."),
    ] = None,
    base: Annotated[
        str, typer.Option("--base", help="Where the base of the protocol is, if not in SHARDS.")
    ] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a layer of this name.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only; write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Divide samples anew, as a protocol: a layer that names samples, and copies none.

    Five folds of the training groups; val stays out, test stays test:

        pvit-data split data/ssv2 --name cv --folds 5 --of train --where "split != 'val'"

    Five videos per class to train on, all others to test:

        pvit-data split data/ssv2 --name five-shot --per-class 5 --of train,val

    Somebody's lists of original ids:

        pvit-data split data/ssv2 --name theirs --train train.txt --test test.txt --match video_id
    """
    from pvit_converters.engine.signals import interruptible
    from pvit_data.splitting.plan import plan_protocols
    from pvit_data.splitting.write import require_room, write_protocols

    target = _target(shards, out)
    about = {key: values[key] for key in ("licence", "redistributable", "title", "made_by")}
    protocols = plan_protocols(shards, source, name, _division(values), base=base, **about)
    require_room(target, protocols, overwrite)
    found = [{"name": p.spec.name, **p.counts(), "notes": list(p.notes)} for p in protocols]
    if not dry_run:
        stopped = f"{target}: stopped; the same command makes it again"
        with interruptible(stopped), progress(f"split {name}") as update:
            write_protocols(target, protocols, overwrite=overwrite, progress=update)
            _tidy(target, [protocol.spec.folder for protocol in protocols])
    if as_json:
        print_json(found)
        return
    _print(found)
    if not dry_run:
        say(_next_step(shards, target, protocols[0].spec))


def _division(values: dict[str, Any]) -> Any:
    from pvit_data.splitting.division import Division

    lists = {name: values[name] for name in ("train", "val", "test") if values[name] is not None}
    same = "folds holdout per_class column match allow_missing seed where of classes"
    return Division(lists=lists, **{name: values[name] for name in same.split()})


def _target(shards: str, out: str | None) -> str:
    """Where layers go."""
    if out is not None:
        return out
    if "://" in shards and shards.partition("://")[0] in ("http", "https", "hf"):
        raise UsageError(f"{shards}: nothing can be written there: give a folder with --out")
    return shards


def _tidy(target: str, folders: list[str]) -> None:
    """Removes temporary files of an earlier time, when this was killed."""
    from pvit_converters.engine.place import remove_leftovers
    from pvit_data.storage.storage import Storage

    for folder in folders:
        remove_leftovers(Storage(target), folder)


def _print(found: list[dict[str, Any]]) -> None:
    out = console()
    names = [name for name in ("train", "val", "test") if any(name in p["samples"] for p in found)]
    table = new_table("protocol", *(f"{name} (groups)" for name in names), left=("protocol",))
    for each in found:
        cells = (f"{each['samples'].get(n, 0):,} ({each['groups'].get(n, 0):,})" for n in names)
        table.add_row(each["name"], *cells)
    out.print(table)
    for each in found if len(found) == 1 else ():
        out.print()
        out.print(_classes(each["classes"], names))
    for note in dict.fromkeys(f"note: {note}" for each in found for note in each["notes"]):
        say(note)


def _classes(counts: dict[str, dict[str, int]], names: list[str]) -> Any:
    if not counts:
        return styled("no class labels")
    if len(counts) > MOST_CLASSES:
        told = []
        for name in names:
            of = [each.get(name, 0) for each in counts.values()]
            told.append(f"{name} {min(of):,} to {max(of):,}")
        return styled(
            f"{len(counts):,} classes, samples of each: {'; '.join(told)} (all of them with --json)"
        )
    table = new_table("class", *names, left=("class",))
    for name, each in counts.items():
        table.add_row(name, *(f"{each.get(split, 0):,}" for split in names))
    return table


def _next_step(shards: str, target: str, spec: Any) -> str:
    with_base = "" if target == shards else f" --shards {shards}"
    return (
        f"next: pvit train --recipe RECIPE --shards {target}{with_base} --downstream {spec.name} "
        "--out RUN"
    )
