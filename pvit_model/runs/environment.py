"""What a run was made with: versions, machine, commit of the code; kept beside the results it explains."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch",
    "torchvision",
    "accelerate",
    "timm",
    "numpy",
    "av",
    "pillow",
    "pyarrow",
    "safetensors",
    "pydantic",
)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def code_version() -> dict[str, str]:
    """The toolkit's version, and the git commit where it runs from a checkout (`+` marks uncommitted changes)."""
    found = {"pvit-toolkit": _version("pvit-toolkit")}
    here = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=40", "--exclude=*"],
            cwd=here, capture_output=True, encoding="utf-8", timeout=10, check=False,
        )  # fmt: skip
        if commit.returncode == 0:
            found["commit"] = commit.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        pass  # no git on this machine: the version alone has to do
    return found


def environment() -> dict[str, Any]:
    """JSON values: code, Python, libraries, machine, accelerators."""
    import torch

    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "code": code_version(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "devices": devices,
        "cuda": torch.version.cuda or "",
    }
