"""What a run goes on from: its newest checkpoint, if its data and configuration are those that it began with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pvit_model.network.inference import Inference
from pvit_model.recipes.plan import Plan
from pvit_model.runs import checkpoint, folder


@dataclass(frozen=True)
class Start:
    """Where a run starts.

    Args:
        plan: in the class ids of the run that goes on.
        checkpoint: to go on from; None: from the beginning.
        changes: sources whose data are others than when the run began.
        remarks: sentences about what cannot be told of them.
    """

    plan: Plan
    checkpoint: Path | None
    changes: list[folder.Change]
    remarks: list[str]


def start_of(plan: Plan, out: Path, resume: bool, allow_changed_data: bool = False) -> Start:
    """Looks for what is to be resumed; nothing is written.

    Args:
        plan: what would be trained from the beginning.
        out: the run's folder.
        resume: go on from its newest checkpoint, where there is one.
        allow_changed_data: whatever the data are now.

    Raises:
        UsageError: if a source was changed and that is not allowed, the network lacks one of its classes, or a
            setting that a run keeps is another.
        FormatError: if every checkpoint is damaged.
    """
    found = checkpoint.newest(out / "checkpoints") if resume else None
    if found is None:
        return Start(plan, None, [], [])
    changes, remarks = folder.changed_data(out, plan)
    if not allow_changed_data:
        folder.check_data(changes)
    plan = plan.in_spaces_of(Inference.load(found))
    folder.check_same(plan, checkpoint.read_state(found), bool(changes))
    return Start(plan, found, changes, remarks)
