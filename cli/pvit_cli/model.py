"""The command `pvit`: train, evaluate and use PViT models.

To add a command, write a module in `pvit_cli.commands.model` with a function `register(app)` and add its name below.
Several GPUs: `torchrun --nproc-per-node 8 -m pvit_cli.model train ...`.
"""

from __future__ import annotations

from collections.abc import Sequence

import typer

from pvit_cli.common import assemble, run

# In the order of the help page. A module imports what it needs inside its command, so that the help page is quick.
COMMANDS = (
    "recipes", "train", "eval", "score", "compare", "results", "predict", "info", "export", "publish",
)  # fmt: skip

HELP = """Train one video model on many partially annotated datasets, then evaluate it and use it on any video.

A typical session:

  pvit train --shards SSV2 --shards HYPERSIM --recipe pvit --out RUN

  pvit eval --model RUN --shards SSV2 --shards HYPERSIM

  pvit predict video.mp4 --model RUN --out OUT

  pvit publish RUN --repo me/mine --dry-run
"""


def make_app() -> typer.Typer:
    """The application with all its commands."""
    return assemble("pvit_cli.commands.model", COMMANDS, HELP)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code.

    Args:
        argv: arguments without the program's name; default: those of the process.
    """
    return run(make_app(), argv, "pvit")


if __name__ == "__main__":
    raise SystemExit(main())
