"""What both `publish` commands do and show: a plan, for programs and for people, its progress, and what was done."""

from __future__ import annotations

from typing import Any

from pvit_cli.output import console, new_table, say
from pvit_cli.progress import progress
from pvit_data.words import counted, size_text

MEGABYTE = 1_000_000
MOST_FILES = 40  # lines of a table
STOPPED = "stopped; the same command continues it, what arrived whole is not sent again"


def carry_out(plan: Any, storage: Any, connection: Any, repository: Any, options: Any) -> Any:
    """Sends what is planned; what was done."""
    from pvit_data.publishing.publish import publish

    for note in plan.notes:
        say(f"warning: {note}", stderr=True)
    with progress(f"publish {repository.repo}", "MB") as update:
        return publish(
            storage, connection, repository, plan, options,
            lambda part, whole: update(part // MEGABYTE, -(-whole // MEGABYTE)),
        )  # fmt: skip


def plan_facts(plan: Any, repo: str, user: str) -> dict[str, Any]:
    """A plan, for programs."""
    return {
        "repo": repo,
        "user": user,
        "exists": plan.there is not None,
        "send": [{"name": file.name, "bytes": file.size} for file in plan.send],
        "bytes": plan.size,
        "keep": plan.kept,
        "notes": list(plan.notes),
        "card": plan.card,
    }


def show_files(plan: Any, repo: str, user: str) -> None:
    """Where it goes, and which files are to be sent."""
    where = "there already" if plan.there is not None else "will be made"
    say(f"as {user}, to {repo} ({where})", "")
    table = new_table("file", "size", left=("file",))
    for file in plan.send[:MOST_FILES]:
        table.add_row(file.name, size_text(file.size))
    if plan.send:
        console().print(table)
    if len(plan.send) > MOST_FILES:
        say(f"... and {len(plan.send) - MOST_FILES:,} more (all of them with --json)")
    for note in plan.notes:
        say(f"warning: {note}")
    say(
        f"{counted(len(plan.send), 'file')} to send, {size_text(plan.size)}; {plan.kept:,} are there"
    )


def show_card(plan: Any) -> None:
    """The card as it will be; the end of a dry run."""
    say("", "the card:", "", *plan.card.splitlines(), "", "nothing was sent (--dry-run)")


def done_lines(done: Any, tag: str, whose: str) -> list[str]:
    """What was done, and where; `whose` checksums were compared."""
    kept, gone = done.kept, f", {done.deleted:,} removed" if done.deleted else ""
    are = "is" if kept == 1 else "are"
    first = f"nothing has changed: {counted(kept, 'file')} {are} there, no commit was made"
    if done.is_new:
        sent = f"{counted(done.sent, 'file')} ({size_text(done.sent_bytes)}) sent"
        first = f"{sent}, {kept:,} were there already{gone}; every checksum is {whose}"
    if done.left:
        left = counted(done.left, "file")
        first += f"; {left} of earlier times stay (--delete-missing removes them)"
    tagged = f", tag {tag}" if tag else ""
    return [first, f"{done.url} (commit {done.commit[:10]}{tagged})"]
