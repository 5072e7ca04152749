"""What a trained network needs besides its weights: how clips are made, what the classes are called.

Stored as `inference.json` next to `config.json` and `model.safetensors`, so that a run, an exported folder or a Hub
repository is enough for `pvit predict` and `pvit eval`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from pvit_data.clips.config import ClipConfig
from pvit_data.errors import ConfigError, FormatError, UsageError
from pvit_data.sample.labels import LabelSpace

if TYPE_CHECKING:
    from pvit_model.network.pvit import PViT
    from pvit_model.tasks import LossOptions

FILE = "inference.json"


class Inference(pydantic.BaseModel):
    """How to feed a network and how to read its answers.

    Args:
        clip: how clips were made in training; evaluation uses its published deterministic form.
        tasks: auxiliary tasks with a head.
        action: the downstream's classes, or None.
        segm: label spaces with an output layer, by name.
        crops: spatial views per clip.
        loss_options: how losses were computed, see `pvit_model.tasks.LossOptions`.
        recipe: name of the recipe, for people.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    clip: ClipConfig
    tasks: tuple[str, ...] = ()
    action: LabelSpace | None = None
    segm: dict[str, LabelSpace] = {}
    crops: int = 1
    loss_options: dict[str, Any] = {}
    recipe: str = ""

    def losses(self) -> LossOptions:
        """The loss options as the loss functions take them.

        Raises:
            ConfigError: for an unknown option, naming the known ones.
        """
        from pvit_model.tasks import LossOptions

        known = {f.name for f in fields(LossOptions)}
        for name in sorted(set(self.loss_options) - known):
            raise ConfigError(
                f"losses.options has no '{name}'; known are {', '.join(sorted(known))}"
            )
        return LossOptions(**self.loss_options)

    def num_ids(self) -> dict[str, int]:
        """Number of ids by target name, of actions and segmentations."""
        counts = {f"segm/{name}": space.num_ids for name, space in self.segm.items()}
        return counts | ({"action": self.action.num_ids} if self.action else {})

    def targets_of(self, source: str) -> tuple[str, ...]:
        """Target names that a source may supervise, in a fixed order."""
        names: list[str] = []
        for task in self.clip.tasks.get(source, ()):
            if task == "segm" and "segm" in self.tasks:
                names += [f"segm/{name}" for name in self.segm]
            elif task in self.tasks or (task == "action" and self.action is not None):
                names.append(task)
        return tuple(names)

    def for_source(self, source: str, listed: Sequence[str]) -> Inference:
        """The same for a source that training did not see: with the tasks its manifest lists, where there is a head."""
        if source in self.clip.tasks:
            return self
        tasks = {**self.clip.tasks, source: tuple(t for t in listed if t in self.tasks)}
        return self.model_copy(update={"clip": self.clip.model_copy(update={"tasks": tasks})})

    def save(self, folder: Path) -> None:
        """Writes `inference.json`."""
        text = json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False)
        (folder / FILE).write_text(text + "\n")

    @classmethod
    def load(cls, folder: Path) -> Inference:
        """Reads `inference.json`.

        Raises:
            FormatError: if it is not there or not readable.
        """
        path = folder / FILE
        try:
            found = cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise FormatError(
                f"{path}: {error.strerror}; expected a folder written by `pvit train`"
            ) from None
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise FormatError(f"{path}: {where}: {first['msg'].lower()}") from None
        return found.model_copy(update={"segm": {k: _tuples(v) for k, v in found.segm.items()}})


def _tuples(space: LabelSpace) -> LabelSpace:
    return replace(space, classes=tuple(space.classes))


def find_model(where: str) -> Path:
    """The folder with a network's files.

    Args:
        where: a run's folder (its best checkpoint is taken), an exported folder or checkpoint, or a Hub id
            `owner/name`.

    Raises:
        UsageError: if there is nothing of that kind.
    """
    from pvit_model.runs import checkpoint

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
    """A trained network in eval mode, and how to use it. See `find_model` for `where`.

    Raises:
        UsageError: if there is no such model.
        FormatError: if its files cannot be used.
    """
    from pvit_model.network.pvit import PViT

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
