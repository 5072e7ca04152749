"""Keys of samples from the ids that a source gives its videos, such as YouTube's, in which case counts."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

from pvit_data.storage.files import utf8

_OTHER = re.compile(r"[^a-z0-9_-]")
_HASH = 8


def keys_of(source: str, ids: Iterable[str]) -> dict[str, str]:
    """A key for each id: in small letters, other characters as `_`; where several would be equal, with a hash each.

    >>> keys_of("clips", ["-Ab.0", "x"])
    {'-Ab.0': 'clips--ab_0', 'x': 'clips-x'}
    """
    plain = {each: f"{source}-{_OTHER.sub('_', each.lower())}" for each in ids}
    taken = Counter(plain.values())
    return {
        each: key if taken[key] == 1 else f"{key}-{hashlib.sha256(utf8(each)).hexdigest()[:_HASH]}"
        for each, key in plain.items()
    }
