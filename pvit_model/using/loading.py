"""Finding and loading a trained network: of a run, an exported folder, a checkpoint or the Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pvit_data.errors import UsageError
from pvit_model.network.inference import Inference
from pvit_model.network.pvit import PViT
from pvit_model.runs import checkpoint


def find_model(where: str) -> Path:
    """The folder with a network's files.

    Args:
        where: a run's folder (its best checkpoint is taken), an exported folder or checkpoint, or a Hub id
            `owner/name`.

    Raises:
        UsageError: if there is nothing of that kind.
    """
    path = Path(where).expanduser()
    if (path / "config.json").is_file() and (path / "model.safetensors").is_file():
        return path
    if (path / "model" / "model.safetensors").is_file():
        return path / "model"
    if (path / "checkpoints").is_dir():
        best = checkpoint.newest(path / "checkpoints")
        if best is not None:
            return best
        raise UsageError(f"run '{where}' has no checkpoint yet; train longer, or check its log")
    if path.exists() or where.startswith((".", "/", "~")) or where.count("/") != 1:
        raise UsageError(
            f"no model in '{where}': expected a run of `pvit train`, a folder with config.json and model.safetensors, "
            "or a Hub id 'owner/name'"
        )
    return _download(where)


def run_of(where: str) -> Path | None:
    """The folder of the run whose network this is; None for one that was exported or comes from the Hub."""
    path = Path(where).expanduser()
    for folder in (path, *path.absolute().parents[:2]):
        if (folder / "checkpoints").is_dir():
            return folder
    return None


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(name, allow_patterns=["*.json", "*.safetensors"])
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"no folder '{name}' here, and the Hub has no such model either ({first})"
        ) from None
    return Path(folder)


def load_model(where: str, device: str = "cpu") -> tuple[PViT, Inference]:
    """A trained network in evaluation mode, and how to use it.

    Args:
        where: a run's folder (its best checkpoint is taken), an exported folder or checkpoint, or a Hub id
            `owner/name`.
        device: to put the network on.

    Raises:
        UsageError: if there is no such model.
        FormatError: if its files cannot be used.

    Example:
        >>> model, inference = load_model("RUN")
        >>> model.training, inference.clip.num_frames
        (False, 8)
    """
    folder = find_model(where)
    inference = Inference.load(folder)
    model = PViT.from_pretrained(str(folder))
    return model.eval().to(device), inference


def run_facts(where: str) -> dict[str, Any]:
    """How a run ended, as JSON values; nothing for a folder that is no run."""
    path = Path(where).expanduser()
    facts: dict[str, Any] = {}
    for name in ("report.json", "environment.json"):
        if (path / name).is_file():
            facts[name.removesuffix(".json")] = json.loads((path / name).read_bytes())
    if "environment" in facts:
        facts["code"] = facts.pop("environment")["code"]
    return facts
