"""What the fuzzer once broke stays repaired."""

from pathlib import Path

import pytest

from tests.torture.fuzz import PARSERS, one

FINDINGS = sorted((Path(__file__).parent / "fuzz_findings").iterdir())


@pytest.mark.parametrize("path", FINDINGS, ids=lambda path: path.name)
def test_finding(path: Path) -> None:
    """The name of a finding begins with its parser."""
    one(PARSERS[path.name.partition("-")[0]], path.read_bytes())
