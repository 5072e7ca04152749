"""What validation can find, and the report that it makes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pvit_data.validate.choice import WHOLE, Choice
from pvit_data.words import counted, plain_url

AGAIN = "remove its receipt and run the same convert command again ('pvit-data split --overwrite' for its layers)"
# What each kind of problem means and what to do about it. The receipt of SOURCE/[part-N/]SPLIT-NUMBER.tar is
# SOURCE/receipts/[part-N/]SPLIT-NUMBER.json. Kinds are stable names: scripts may count them.
KINDS = {
    "manifest-missing": "manifest.json is not there: run the same convert command again, or 'pvit-data finish'",
    "manifest-damaged": "manifest.json cannot be trusted: build it again with 'pvit-data finish'",
    "manifest-differs": "the manifest disagrees with receipts or index: build it again with 'pvit-data finish'",
    "card-missing": "README.md is not there: 'pvit-data finish' writes it",
    "card-differs": "the card does not declare what load_dataset needs: 'pvit-data finish' writes it again",
    "receipt-missing": "a shard lacks its receipt, of which the index is made: run the same convert command again",
    "receipt-damaged": "a receipt cannot be read: remove it and run the same convert command again",
    "receipt-differs": "a receipt disagrees with the manifest: remove it and run the same convert command again",
    "index-missing": "an index file is not there: 'pvit-data finish' writes it",
    "index-damaged": "an index file is not the one that was written: build it again with 'pvit-data finish'",
    "index-differs": f"the index says something else than the shard: {AGAIN}",
    "shard-missing": f"a shard is not there: fetch it again, or {AGAIN}",
    "shard-size": f"a shard was cut off or grew: fetch it again, or {AGAIN}",
    "shard-hash": f"a shard has other bytes than were written: fetch it again, or {AGAIN}",
    "shard-layout": f"archive structure that plain readers stumble over: fetch the shard again, or {AGAIN}",
    "member-damaged": f"contents of a sample differ from their checksum: fetch the shard again, or {AGAIN}",
    "member-unlisted": f"the archive holds something that the index does not list: {AGAIN}",
    "record": f"the JSON member breaks the schema: {AGAIN}",
    "value": "a value outside its range: repair the source or its converter, and convert again",
    "undecodable": f"a member does not decode to what the record says: {AGAIN}",
    "crash": "decoding ended the process: treat the sample as hostile and remove it from the source",
    "duplicate-key": "two samples share a key: keys are unique in a dataset",
    "stray-shard": "a shard that the manifest does not list, which plain readers would read: remove it",
    "partial-file": "a temporary file of a killed process: run the conversion again, or remove it",
    "stray-file": "a file that is no part of the format inside a source's folder: remove it",
    "base-differs": "a layer's row does not fit its base, and attaching it is refused: make the layer again",
    "base-damaged": "the base of a layer cannot be read: validate it, too",
    "foreign-index": "webdataset.parquet cannot be trusted: run 'pvit-data index' again",
    "base-bytes": "a base has other bytes of pictures than a layer was made from: were they only packed anew?",
    "base-absent": "a layer has a row of a sample that its base lacks, which is left out: another version of it?",
    "group-split": "a group is in two splits, so that one tells about the other: intended by the source?",
    "unknown-file": "a file that is no part of the format beside the sources",
    "no-receipts": "a source without receipts cannot be appended to or finished again",
}  # fmt: skip
WARNINGS = frozenset({"base-bytes", "base-absent", "group-split", "unknown-file", "no-receipts"})
MAX_KEPT = 1000  # problems kept per kind; the counts are complete


@dataclass(frozen=True)
class Problem:
    """One finding.

    Args:
        kind: one of `KINDS`.
        file: path in the dataset.
        key: of the sample that is hit, or "".
        message: what was found and what was expected.
    """

    kind: str
    file: str
    key: str
    message: str


@dataclass(kw_only=True)
class Findings:
    """Problems and their numbers.

    Args:
        counts: number of findings by kind, warnings included.
        problems: the findings, at most `MAX_KEPT` of a kind; each sample at most once per kind.
    """

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing but warnings was found in what was looked at."""
        return set(self.counts) <= WARNINGS

    @property
    def num_problems(self) -> int:
        """Findings, warnings left out."""
        return sum(n for kind, n in self.counts.items() if kind not in WARNINGS)

    def add(self, problems: Iterable[Problem]) -> None:
        """Counts findings and keeps the first ones of each kind."""
        for problem in problems:
            self.counts[problem.kind] += 1
            if self.counts[problem.kind] <= MAX_KEPT:
                said = plain_url(problem.message)
                self.problems.append(replace(problem, message=said))

    def join(self, other: Findings) -> None:
        """Adds what was found elsewhere: the same as to add its problems one by one."""
        room = {kind: MAX_KEPT - self.counts[kind] for kind in other.counts}
        for problem in other.problems:
            room[problem.kind] -= 1
            if room[problem.kind] >= 0:
                self.problems.append(problem)
        self.counts.update(other.counts)

    def of_kind(self, kind: str) -> list[Problem]:
        """The kept findings of one kind."""
        return [problem for problem in self.problems if problem.kind == kind]


@dataclass(frozen=True)
class Amount:
    """How much there is, or was looked at."""

    samples: int = 0
    shards: int = 0
    bytes: int = 0


@dataclass
class ValidationReport(Findings):
    """The result of a validation.

    Args:
        url: of the dataset.
        deep: whether everything was decoded.
        samples, shards, bytes: what was looked at.
        choice: which shards and samples those are; manifest, card, receipts, index and names are always looked at.
        whole: samples, shards and bytes of the dataset.
        apart: layers whose fit is not known, because their base is not there.
        earlier: shards of which an earlier validation tells; their bytes are what they were.
        seconds: how long it took.
    """

    url: str
    deep: bool
    samples: int = 0
    shards: int = 0
    bytes: int = 0
    choice: Choice = WHOLE
    whole: Amount = Amount()
    apart: list[str] = field(default_factory=list)
    earlier: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.url = plain_url(self.url)  # a report is passed on; the address's secrets are not

    @property
    def is_complete(self) -> bool:
        """Whether everything was looked at."""
        return self.choice == WHOLE and not self.apart

    def left_out(self) -> str:
        """What was not looked at, in words; "" where that is nothing."""
        parts = []
        if self.shards < self.whole.shards:
            parts.append(counted(self.whole.shards - self.shards, "other shard"))
        if self.choice.sample < 1:
            parts.append(f"all but {100 * self.choice.sample:g} % of the samples of a shard")
            parts.append("the sha256 of shards")
        if self.apart:
            parts.append(f"whether these layers fit their bases: {', '.join(self.apart)}")
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """As JSON values, counts by kind in the order of `KINDS`."""
        counts = {kind: self.counts[kind] for kind in KINDS if self.counts[kind]}
        part, parts = self.choice.part
        return {
            "ok": self.ok,
            "complete": self.is_complete,
            **{name: getattr(self, name) for name in ("url", "deep", "samples", "shards", "bytes")},
            "of": asdict(self.whole),
            "shard": f"{part}/{parts}",
            "sample": self.choice.sample,
            "hashed": self.choice.hashes,
            "apart": self.apart,
            "earlier": self.earlier,
            "seconds": round(self.seconds, 3),
            "counts": {kind: n for kind, n in counts.items() if kind not in WARNINGS},
            "warnings": {kind: n for kind, n in counts.items() if kind in WARNINGS},
            "problems": [asdict(problem) for problem in self.problems],
        }
