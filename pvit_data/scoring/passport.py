"""A result with all that makes it comparable: the passport that goes with every number, as JSON."""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pvit_data.scoring.doctor.finding import Finding

VERSION = 1


def list_sha256(ids: Iterable[str]) -> str:
    """Identity of a list of videos: sha256 of its sorted original ids, in UTF-8, each followed by a newline.

    >>> list_sha256(["2", "1"])[:16]
    'a6e2b7a040683432'
    """
    digest = hashlib.sha256()
    for name in sorted(ids):
        digest.update(name.encode("utf-8", "backslashreplace") + b"\n")
    return digest.hexdigest()


def truth_sha256(ids: Iterable[str], labels: Iterable[object]) -> str:
    """Identity of labels, whatever file says them: `list_sha256` of lines of an id, a tab and its label's number, since
    not every file knows names; which classes the numbers are stands beside it.

    >>> truth_sha256(["1"], [7]) == list_sha256(["1\\t7"])
    True
    """
    return list_sha256(f"{name}\t{label}" for name, label in zip(ids, labels, strict=True))


@dataclass(frozen=True)
class ListFacts:
    """Which videos were scored.

    Args:
        name: of a known list, or of the file.
        sha256: see `list_sha256`; of the videos that were scored.
        n: their number.
        of: number of the whole list.
    """

    name: str
    sha256: str
    n: int
    of: int

    @classmethod
    def make(cls, name: str, ids: Sequence[str], of: int) -> ListFacts:
        """From the ids that were scored."""
        return cls(name, list_sha256(ids), len(ids), of)

    def __str__(self) -> str:
        number = f"N = {self.n:,}" + (f" of {self.of:,}" if self.n != self.of else "")
        return f"list {self.name}, {number}, sha256 {self.sha256}"


@dataclass(frozen=True)
class Views:
    """How often each video was seen; None where nothing tells.

    Args:
        frames: of a clip.
        clips, crops: of a video.
        number: of views of a video, clips x crops.
        whole: whether the one view is the whole frame, without a crop.
    """

    frames: int | None = None
    clips: int | None = None
    crops: int | None = None
    number: int | None = None
    whole: bool | None = None

    def __str__(self) -> str:
        named = ((self.frames, "frame"), (self.clips, "clip"), (self.crops, "crop"))
        told = [f"{'?' if n is None else n} {name}{'' if n == 1 else 's'}" for n, name in named]
        if self.clips is None and self.number is not None:
            told[1:] = [f"{self.number} views"]
        if self.whole:
            told[2:] = ["whole frames"]
        return " x ".join(told)

    def to_json(self) -> dict[str, int | None]:
        """JSON values; of whole frames only where they are."""
        return {n: value for n, value in asdict(self).items() if n != "whole" or value}


@dataclass
class Result:
    """A score and its passport.

    Args:
        metric, protocol, variant: what was counted, and how.
        values: the numbers, as fractions (and seconds): `top1`, `mAP`, ...
        baselines: what the simplest predictions reach.
        scored: which videos.
        truth: identity of what is true of them, see `truth_sha256`; "" where nobody made it.
        views: of each.
        classes: number of classes and sha256 of their names or ids.
        thresholds: that count.
        detections: of AVA: sha256 of the boxes and the threshold of the detector's scores.
        files: name, size and sha256 of each file.
        model: what the predictions say of the network.
        details: further numbers.
        findings: what the doctor says.
        notes: what to know, in sentences.
        diagnosed: whether the doctor was asked.
    """

    metric: str
    protocol: str
    variant: str
    values: dict[str, float]
    scored: ListFacts
    truth: str = ""
    views: Views = field(default_factory=Views)
    baselines: dict[str, float] = field(default_factory=dict)
    classes: dict[str, Any] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    detections: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    diagnosed: bool = False

    @property
    def wrong(self) -> list[Finding]:
        """Findings that are no mere information."""
        return [finding for finding in self.findings if finding.is_finding]

    def to_json(self) -> dict[str, Any]:
        """JSON values; numbers stand at the top, what was not measured is null."""
        document = {
            "passport": VERSION,
            "metric": self.metric,
            "protocol": self.protocol,
            "variant": self.variant,
            **self.values,
            "baselines": self.baselines,
            "list": asdict(self.scored),
            "truth": self.truth or None,
            "views": self.views.to_json(),
            "classes": self.classes,
            "thresholds": self.thresholds,
            "detections": self.detections,
            "files": self.files,
            "model": self.model,
            "details": self.details,
            "findings": [finding.to_json() for finding in self.findings],
            "notes": self.notes,
            "diagnosed": self.diagnosed,
            "software": software(),
        }
        return {name: finite(value) for name, value in document.items()}


def finite(value: Any) -> Any:
    """The same with null for numbers that are none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(each) for key, each in value.items()}
    return [finite(each) for each in value] if isinstance(value, list | tuple) else value


def software() -> dict[str, str]:
    """Versions of what computed a result."""
    try:
        own = version("pvit-toolkit")
    except PackageNotFoundError:
        own = "unknown"
    return {"pvit-toolkit": own, "numpy": version("numpy"), "python": platform.python_version()}
