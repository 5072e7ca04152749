"""A finding: what was seen, how sure it is, and what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Finding:
    """Something that makes a number other than it should be, or that one should know of it.

    Args:
        name: short and stable, such as `"permuted classes"`.
        seen: the statistic in words.
        sure: how sure it is, in words.
        remedy: what to do.
        is_finding: else it is information only, and `--strict` does not mind it.
    """

    name: str
    seen: str
    sure: str = ""
    remedy: str = ""
    is_finding: bool = True

    def __str__(self) -> str:
        parts = (self.seen, self.sure, self.remedy)
        return f"{self.name}: {'; '.join(part for part in parts if part)}"

    def to_json(self) -> dict[str, object]:
        """JSON values."""
        return asdict(self)


def information(name: str, seen: str, remedy: str = "") -> Finding:
    """What is always said and never wrong."""
    return Finding(name, seen, "", remedy, is_finding=False)
