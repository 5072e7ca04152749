"""`pvit publish`: a trained model to a repository on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pvit_cli.options import Json
from pvit_cli.output import print_json, say
from pvit_cli.sending import STOPPED, carry_out, done_lines, plan_facts, show_card, show_files

Run = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's folder, an exported folder or checkpoint.")
]
Repo = Annotated[str, typer.Option("--repo", help="OWNER/NAME; made if it is not there.")]
Private = Annotated[
    bool, typer.Option("--private", help="Into a repository that only its members see.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show files and card; change nothing.")]
Tag = Annotated[str, typer.Option("--tag", help="Name for this state, e.g. v1.0.")]
Which = Annotated[
    Literal["best", "last"], typer.Option("--revision", help="Which checkpoint of a run.")
]
NoHeads = Annotated[
    bool, typer.Option("--no-heads", help="Leave out the auxiliary heads; prompts stay.")
]
Results = Annotated[
    list[Path] | None,
    typer.Option(
        help="What `pvit eval --out FILE` measured of it, for the card; give one --results each."
    ),
]
Confirmed = Annotated[
    bool,
    typer.Option(
        "--rights-confirmed",
        help="You have the right to pass on weights made from such data; the card says so.",
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("publish")(publish)


def publish(
    run: Run,
    repo: Repo,
    private: Private = False,
    dry_run: DryRun = False,
    tag: Tag = "",
    revision: Which = "best",
    no_heads: NoHeads = False,
    results: Results = None,
    rights_confirmed: Confirmed = False,
    as_json: Json = False,
) -> None:
    """Publish a model on the Hugging Face Hub: weights, configuration, class tables, a card of what the run recorded.

    Only what the repository does not have is sent, and all of it is to be seen at once, in one commit. Stopped or
    killed, the same command continues. HF_ENDPOINT and HF_TOKEN are respected.

        pvit publish RUN --repo me/mine --dry-run

        pvit predict video.mp4 --model me/mine --out OUT
    """
    from pvit_converters.engine.signals import interruptible
    from pvit_data.publishing.guard import Consent
    from pvit_data.publishing.publish import Options
    from pvit_model.publishing.publish import staged

    options = Options(consent=Consent(private=private), tag=tag)
    with (
        interruptible(f"{repo}: {STOPPED}"),
        staged(run, revision, not no_heads, results or ()) as stage,
    ):
        _send(stage, repo, options, rights_confirmed, dry_run, as_json)


def _send(
    stage: Any, repo: str, options: Any, confirmed: bool, dry_run: bool, as_json: bool
) -> None:
    """Shows what is to be done, or does it."""
    from pvit_data.publishing.connection import connected
    from pvit_data.publishing.repository import Repository
    from pvit_model.publishing.publish import model_files, plan_model

    model_files(stage, repo, options, confirmed)  # what is wrong is said before the Hub is asked
    with connected() as connection:
        repository = Repository(connection, repo, "model")
        user = repository.require_token()
        plan = plan_model(stage, repository, options, confirmed)
        if dry_run and as_json:
            print_json(plan_facts(plan, repo, user))
        elif dry_run:
            show_files(plan, repo, user)
            show_card(plan)
        if dry_run:
            return
        done = carry_out(plan, stage.storage, connection, repository, options)
    if as_json:
        print_json(vars(done))
        return
    say(
        *done_lines(done, options.tag, "the file's"),
        f"next: pvit predict VIDEO --model {repo} --out OUT, or PViT.from_pretrained('{repo}')",
    )
