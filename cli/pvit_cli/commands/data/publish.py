"""`pvit-data publish`: a dataset, or a part of it, to a repository on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Annotated, Any

import typer

from pvit_cli.commands.data.lineage import show_fields
from pvit_cli.flags import Flag, with_flags
from pvit_cli.options import Json
from pvit_cli.output import print_json, say
from pvit_cli.progress import progress
from pvit_cli.sending import (
    MOST_FILES,
    STOPPED,
    carry_out,
    done_lines,
    plan_facts,
    show_card,
    show_files,
)
from pvit_data.words import counted

_CHOICE = ("sources", "layers", "layers_only", "splits", "fields")


def _flags() -> list[Flag]:
    what, rights = "What is published", "What may be published"
    names = tuple[str, ...]
    return [
        Flag("sources", names, (), "only these sources, e.g. a,b; layers then only with --layers", what),
        Flag("layers", names, (), "only these layers and protocols; sources then only with --sources", what),
        Flag("layers_only", bool, False, "no source, so no pictures", what),
        Flag("splits", names, (), "only these splits", what),
        Flag("fields", names, (), "only these, e.g. boxes,action; shards are written anew without other fields", what),
        Flag("gallery", int, 0, "samples of a page to play them, which is published with it", what, 0),
        Flag("private", bool, False, "into a repository that only its members see", rights),
        Flag("i_accept", bool, False, "with --private: also what may not be passed on", rights),
        Flag("rights_confirmed", names, (), "SOURCE: you have the right to pass it on; the card says so", rights),
    ]  # fmt: skip


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("publish")(with_flags(_publish, _flags()))


def _publish(
    shards: Annotated[str, typer.Argument(metavar="SHARDS", help="Folder of the dataset.")],
    repo: Annotated[str, typer.Option("--repo", help="OWNER/NAME; made if it is not there.")],
    values: dict[str, Any],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show files, licences and card; change nothing.")
    ] = False,
    tag: Annotated[str, typer.Option("--tag", help="Name for this state, e.g. v1.0.")] = "",
    delete_missing: Annotated[
        bool, typer.Option("--delete-missing", help="Remove shards there that are not here.")
    ] = False,
    card_only: Annotated[
        bool, typer.Option("--card-only", help="Send nothing but the card.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Files sent at once.")] = 4,
    as_json: Json = False,
) -> None:
    """Publish a dataset on the Hugging Face Hub.

    Only what the repository does not have is sent, and all of it is to be seen at once: shards first, manifest and card
    in one last commit. Stopped or killed, the same command continues. HF_ENDPOINT and HF_TOKEN are respected.

        pvit-data publish data --repo me/mine --dry-run

        pvit-data publish data --repo me/mine --tag v1.0
    """
    from pvit_converters.engine.signals import interruptible
    from pvit_data.publishing.choice import Choice
    from pvit_data.publishing.connection import connected
    from pvit_data.publishing.fields import only_fields
    from pvit_data.publishing.guard import Consent
    from pvit_data.publishing.notes import what_is_public_is_told
    from pvit_data.publishing.publish import Options, plan_files, plan_publication
    from pvit_data.publishing.repository import Repository
    from pvit_data.storage.storage import Storage

    chosen = {name: values[name] for name in _CHOICE}
    consent = Consent(values["private"], values["i_accept"], values["rights_confirmed"])
    wanted, whole = Choice(**chosen), Storage(shards)
    writing = partial(progress, f"write {', '.join(wanted.fields)}")
    options = Options(wanted, consent, tag, delete_missing, card_only, jobs, values["gallery"])
    with (
        what_is_public_is_told(whole, wanted, repo, consent.private),
        interruptible(f"{repo}: {STOPPED}"),
        only_fields(whole, wanted, consent, writing) as (storage, choice),
    ):
        options = replace(options, choice=choice)
        plan_files(storage, repo, options)  # what is wrong here is said before the Hub is asked
        _tell_left_out(wanted, whole)
        with connected() as connection:
            repository = Repository(connection, repo)
            user = repository.require_token()
            plan = plan_publication(storage, repository, options)
            if dry_run:
                _show(plan, repo, user, wanted.fields, as_json)
                return
            done = carry_out(plan, storage, connection, repository, options)
    print_json(vars(done)) if as_json else say(*_report(done, tag, repo))


def _tell_left_out(choice: Any, storage: Any) -> None:
    """What is not published since it has none of the chosen fields."""
    from pvit_data.format.manifest import read_manifest

    if names := choice.left_out(read_manifest(storage)):
        more = ",".join([*choice.fields, "record"])
        say(
            f"warning: not published, since without these fields: {', '.join(names)} "
            f"(--fields {more} takes their keys and splits)",
            stderr=True,
        )


def _report(done: Any, tag: str, repo: str) -> list[str]:
    """What was done, and what comes next."""
    step = f"next: pvit-data pull {repo} DEST, or pvit_data.open('hf://datasets/{repo}')"
    return [*done_lines(done, tag, "the manifest's"), step]


def _facts(plan: Any, repo: str, user: str) -> dict[str, Any]:
    """A plan, for programs."""
    from pvit_data.lineage.fields import lineage_of

    entries = plan.manifest.entries.values()
    return plan_facts(plan, repo, user) | {
        "delete": list(plan.gone),
        "licences": {entry.spec.name: entry.spec.licence for entry in entries},
        "fields": [asdict(line) for line in lineage_of(plan.manifest)],
    }


def _show(plan: Any, repo: str, user: str, fields: Sequence[str], as_json: bool) -> None:
    """A plan, for people or programs."""
    if as_json:
        print_json(_facts(plan, repo, user))
        return
    from pvit_data.lineage.fields import lineage_of
    from pvit_data.publishing.fields import NEUTRAL
    from pvit_data.sample.rights import RECORD

    show_files(plan, repo, user)
    if plan.left:
        fate = "will be removed" if plan.delete else "stay (--delete-missing removes them)"
        say(f"{counted(len(plan.left), 'file')} of earlier times {fate}")
        if plan.delete:
            say(*(f"  {name}" for name in plan.left[:MOST_FILES]))
            if (more := len(plan.left) - MOST_FILES) > 0:
                say(f"  ... and {more:,} more (all of them with --json)")
    say("")
    show_fields(lineage_of(plan.manifest))
    if fields and RECORD not in fields:
        say(
            f"where a field is left out, of what records say in meta, only {', '.join(NEUTRAL)} stay "
            f"(all of it with --fields {','.join([*fields, RECORD])})"
        )
    show_card(plan)
