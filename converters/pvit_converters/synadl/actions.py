"""SynADL's 55 actions (spec synadl, section 4); the label is the number in the file name minus 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pvit_data.errors import UsageError
from pvit_data.sample.labels import LabelSpace

_NAMES = """eating food with a fork; pouring water into a cup; taking medicine; drinking water; putting food in the
fridge / taking food from the fridge; trimming vegetables; peeling fruit; using a gas stove; cutting vegetable on the
board; brushing teeth; washing hands; washing face; wiping face with a towel; putting on cosmetics; putting on
lipstick; brushing hair; blow drying hair; putting on a jacket; taking off a jacket; putting on/taking off shoes;
putting on/taking off glasses; washing the dishes; vacuuming the floor; scrubbing the floor with a rag; wiping off
the dining table; rubbing up furniture; spreading / folding bedding; washing a towel by hands; hanging out laundry;
looking around for something; using a remote control; reading a book; reading a newspaper; handwriting; talking on
the phone; playing with a mobile phone; using a computer; smoking; clapping; rubbing face with hands; doing freehand
exercise; doing neck roll exercise; massaging a shoulder oneself; taking a bow; talking to each other; handshaking;
hugging each other; fighting each other; waving a hand; flapping a hand up and down (beckoning); pointing with a
finger; opening the door and walking in; fallen on the floor; sitting up/standing up; lying down"""

NAMES = tuple(" ".join(name.split()) for name in _NAMES.split(";"))
"""The 55 names; position 0 is A001."""


def action_space(values: Any, flag: str) -> LabelSpace:
    """The label space, with names that the user's YAML replaces: `actions: {10: washing}`.

    Raises:
        UsageError: if it is something else.
    """
    names = list(NAMES)
    if values is not None:
        table = values.get("actions") if isinstance(values, Mapping) else None
        if not isinstance(table, Mapping) or not all(
            isinstance(n, int) and 1 <= n <= len(names) for n in table
        ):
            raise UsageError(
                f"{flag}: expected actions: {{10: washing, ...}} with numbers 1..{len(names)}"
            )
        for number, name in table.items():
            names[number - 1] = str(name)
    return LabelSpace("synadl55", tuple(names))
