"""`checkup`: looks at everything that decides whether conversion, loading and training work here, and how fast."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pvit_data.machine.finding import Finding
from pvit_data.machine.software import look_at_codecs, look_at_gpu, look_at_packages, look_at_python
from pvit_data.machine.system import look_at_caches, look_at_cores, look_at_files, look_at_memory

LOOKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "Python": look_at_python,
    "packages": look_at_packages,
    "codecs": look_at_codecs,
    "cores": look_at_cores,
    "shared memory": look_at_memory,
    "open files": look_at_files,
    "caches": look_at_caches,
    "GPU": look_at_gpu,
}


def checkup() -> Iterator[Finding]:
    """All findings, one look after the other; a look that fails is a finding itself."""
    for about, look in LOOKS.items():
        try:
            yield from look()
        except Exception as error:  # of libraries that are installed and broken
            told = f"cannot be looked at: {type(error).__name__}: {error}"
            yield Finding(about, "problem", told, "mend what the message names")
