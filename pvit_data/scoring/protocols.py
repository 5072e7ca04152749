"""What each protocol fixes: its metrics, the published views, how ids are written, which lists of videos are known."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pvit_data.errors import FormatError, UsageError
from pvit_data.scoring.files.scores import stem
from pvit_data.words import did_you_mean

FIRST_EDITION = (15_943, 2096)  # dives of Diving48's first labels, in training and test


@dataclass(frozen=True)
class Protocol:
    """How a data set is scored.

    Args:
        name: of the protocol.
        metrics: that it knows, the first by default.
        clips, crops: views of each video that were published; 0: any.
        lists: published lists by their number of videos.
        clean: the original id as the data set writes it, from what people write.
        split: of converted shards, that publications score.
    """

    name: str
    metrics: tuple[str, ...]
    clips: int = 0
    crops: int = 0
    lists: Mapping[int, str] = field(default_factory=dict)
    clean: Callable[[str], str] = str
    split: str = "val"

    @property
    def views(self) -> int:
        """Views of each video; 0: any number."""
        return self.clips * self.crops

    def list_name(self, name: str, number: int) -> str:
        """What a list of so many videos is called, with the known list of as many: which these are its sha256 says.

        >>> PROTOCOLS["ssv2"].list_name("mine.csv", 24777)
        'mine.csv (as many as validation)'
        """
        known = self.lists.get(number)
        return f"{name} (as many as {known})" if known else name


def _number(text: str) -> str:
    name = stem(text)
    return str(int(name)) if name.isascii() and name.isdecimal() and len(name) < 20 else name


_TIMES = re.compile(r"(.{11})_\d{6}_\d{6}")


def _youtube(text: str) -> str:
    name = stem(text)
    match = _TIMES.fullmatch(name)
    return match[1] if match else name


PROTOCOLS = {
    p.name: p
    for p in (
        Protocol("plain", ("topk", "multilabel")),
        Protocol(
            "ssv2", ("topk",), 1, 3, clean=_number,
            lists={24777: "validation", 22660: "no-empty-boxes", 27157: "test", 168913: "train"},
        ),
        Protocol(
            "something-else", ("topk",), 1, 3, clean=_number,
            lists={57876: "compositional validation", 54919: "compositional train", 12467: "base validation",
                   430: "5-shot train", 860: "10-shot train"},
        ),
        Protocol(
            "kinetics400", ("topk",), 5, 1, clean=_youtube,
            lists=dict.fromkeys((19761, 19796, 19881, 19906), "validation"),
        ),
        Protocol("diving48", ("topk",), 1, 3, clean=stem, split="test", lists={1970: "V2 test", 15027: "V2 train"}),
        Protocol("ego4d", ("pnr", "oscc"), 1, 1),
        Protocol("pyslowfast", ("ava",), 1, 1, lists={64: "validation", 235: "train", 131: "test"}),
        Protocol("activitynet", ("ava",), 1, 1, lists={64: "validation", 235: "train", 131: "test"}),
        Protocol("mmaction2", ("ava",), 1, 1, lists={64: "validation", 235: "train", 131: "test"}),
    )
}  # fmt: skip
"""Lists of AVA by their movies."""


def protocol_of_source(source: str) -> Protocol | None:
    """The protocol of a source: that of its name, or of the beginning of its name (`something-else-5shot`)."""
    parts = source.split("-")
    names = ("-".join(parts[:number]) for number in range(len(parts), 0, -1))
    return next((PROTOCOLS[name] for name in names if name in PROTOCOLS), None)


METRICS = ("topk", "multilabel", "ava", "pnr", "oscc")
DEFAULT = {
    "topk": "plain",
    "multilabel": "plain",
    "ava": "pyslowfast",
    "pnr": "ego4d",
    "oscc": "ego4d",
}


def find_protocol(metric: str, name: str | None) -> Protocol:
    """The protocol of a metric.

    Raises:
        UsageError: if there is no such metric or protocol, or they do not belong together.
    """
    if metric not in METRICS:
        raise UsageError(
            f"no metric '{metric}'{did_you_mean(metric, METRICS)}: expected one of {', '.join(METRICS)}"
        )
    known = [p.name for p in PROTOCOLS.values() if metric in p.metrics]
    protocol = PROTOCOLS.get(name or DEFAULT[metric])
    if protocol is None or metric not in protocol.metrics:
        hint = did_you_mean(str(name), known)
        raise UsageError(
            f"metric '{metric}' has no protocol '{name}'{hint}: expected one of {', '.join(known)}"
        )
    return protocol


def is_first_edition(name: str) -> bool:
    """Whether a file's name is that of Diving48's labels of 2018.

    >>> is_first_edition("Diving48_test.json"), is_first_edition("Diving48_V2_test.json")
    (True, False)
    """
    return name in ("Diving48_train.json", "Diving48_test.json")


def require_second_edition(where: str, number: int) -> None:
    """Refuses Diving48's first labels, told by the file's name or by the number of dives.

    Raises:
        FormatError: naming the files that are wanted.
    """
    name = where.rstrip("/").rpartition("/")[2]
    if not is_first_edition(name) and number not in FIRST_EDITION:
        return
    sign = "by its name" if is_first_edition(name) else f"by its {number:,} dives"
    raise FormatError(
        f"{where}: {sign} these are Diving48's labels of the first edition (V1), many of which are wrong: published "
        "networks reach about 40 percent on them, and the numbers compare with no others; take Diving48_V2_test.json. "
        "--protocol plain scores this list all the same"
    )
