"""What the fuzzer once broke stays repaired, and mutated valid inputs give our own errors, on one line, or nothing."""

import random
from pathlib import Path

import pytest

from tests.torture.fuzz import PARSERS, one, seeds

FINDINGS = sorted((Path(__file__).parent / "fuzz_findings").iterdir())


@pytest.mark.parametrize("path", FINDINGS, ids=lambda path: path.name)
def test_finding(path: Path) -> None:
    """The name of a finding begins with its parser."""
    one(PARSERS[path.name.partition("-")[0]], path.read_bytes())


@pytest.mark.parametrize("name", PARSERS)
def test_mutated_inputs(name: str, tmp_path: Path) -> None:
    rng = random.Random(name)
    for data in seeds(tmp_path)[name]:
        PARSERS[name](data)  # valid
        for _ in range(50):
            changed = bytearray(data)
            for _ in range(rng.choice((1, 3, 20))):
                changed[rng.randrange(len(changed))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
            one(PARSERS[name], bytes(changed[: rng.randrange(len(changed)) if rng.random() < 0.2 else None]))
