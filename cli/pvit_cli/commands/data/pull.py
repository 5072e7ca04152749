"""`pvit-data pull`: a dataset, or a part of it, from the Hugging Face Hub into a folder."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pvit_cli.flags import Flag, with_flags
from pvit_cli.options import Json
from pvit_cli.output import print_json, say
from pvit_cli.progress import progress
from pvit_data.words import counted, size_text

MEGABYTE = 1_000_000


def _flags() -> list[Flag]:
    what = "What is fetched"
    names = tuple[str, ...]
    return [
        Flag("sources", names, (), "only these sources, e.g. a,b; layers then only with --layers", what),
        Flag("layers", names, (), "only these layers and protocols; sources then only with --sources", what),
        Flag("splits", names, (), "only these splits", what),
        Flag("fields", names, (), "only sources and layers with one of these, e.g. depth; shards come whole", what),
        Flag("shards", names, (), "only shards of these numbers, e.g. 0-99,205", what),
    ]  # fmt: skip


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("pull")(with_flags(_pull, _flags()))


def _pull(
    repo: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="Repository on the Hub, or a URL of shards.")
    ],
    dest: Annotated[str, typer.Argument(metavar="DEST", help="Folder that gets the dataset.")],
    values: dict[str, Any],
    revision: Annotated[
        str, typer.Option("--revision", help="Branch, tag or commit of the repository.")
    ] = "",
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Files fetched at once.")] = 4,
    as_json: Json = False,
) -> None:
    """Fetch a dataset from the Hugging Face Hub.

    Every file is compared with its sha256, and fetched again where it differs. Stopped or killed, the same command
    continues, within files too. A part is a sound dataset of its own, to which later pulls add.

        pvit-data pull me/mine data

        pvit-data pull me/mine data --sources ssv2 --splits val --shards 0-9
    """
    from pvit_converters.engine.signals import interruptible
    from pvit_data.publishing.choice import Choice, shard_numbers
    from pvit_data.publishing.pulling.pull import address, plan_pull, pull

    chosen = {name: values[name] for name in ("sources", "layers", "splits")}
    shards = tuple(map(shard_numbers, values["shards"]))
    choice = Choice(**chosen, shards=shards, having=values["fields"])
    url = address(repo, revision)
    stopped = f"{dest}: stopped; the same command continues it"
    with interruptible(stopped):
        with progress(f"look at {dest}", "files") as update:
            plan = plan_pull(url, dest, choice, update)
        with progress(f"pull {repo}", "MB") as update:
            done = pull(
                plan, jobs, lambda part, whole: update(part // MEGABYTE, -(-whole // MEGABYTE))
            )
    if as_json:
        print_json(
            {
                "fetched": done.fetched,
                "bytes": done.fetched_bytes,
                "kept": done.kept,
                "sources": sorted(done.manifest.sources),
                "layers": sorted(done.manifest.layers),
            }
        )
        return
    say(
        f"{counted(done.fetched, 'file')} fetched ({size_text(done.fetched_bytes)}), {done.kept:,} were there already; "
        "every checksum is the manifest's",
        f"next: pvit-data stats {dest}",
    )
