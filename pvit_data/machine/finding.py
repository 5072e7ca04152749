"""What a look at the machine finds: one line for people, and what helps where something is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        about: what.
        state: `"note"`: some work will be slower or is not possible; `"problem"`: work that it is there for fails.
        found: what was found, in a sentence.
        remedy: what to do; "" where all is well.
    """

    about: str
    state: State
    found: str
    remedy: str = ""
