"""Save and load whole models: `model.safetensors` and `config.json` in a folder or a Hub repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from pvit_data.errors import ConfigError, FormatError, SourceError
from pvit_data.storage.files import read_regular, write_file
from pvit_data.storage.values import MAX_JSON_BYTES, parse_json
from pvit_data.words import first_problem

if TYPE_CHECKING:
    from torch import nn

    from pvit_model.config import PViTConfig

WEIGHTS, CONFIG = "model.safetensors", "config.json"


class HubMixin:
    """`save_pretrained` and `from_pretrained` for a module with a pydantic `config`."""

    config: PViTConfig

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the weights and the configuration; existing ones are replaced."""
        from pvit_model.network.tensor_file import save_tensors

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            name: value.detach().cpu().contiguous()
            for name, value in cast("nn.Module", self).state_dict().items()
        }
        save_tensors(folder / WEIGHTS, state, {"format": "pt"})
        write_file(folder / CONFIG, self.config.model_dump_json(indent=2) + "\n")

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, revision: str | None = None, token: str | None = None
    ) -> Self:
        """The model of a folder or a Hub repository (`"owner/name"`), in evaluation mode.

        Raises:
            SourceError: if the folder lacks one of the two files, or they do not belong together.
            ConfigError: if the configuration is not one of ours.
        """
        from pvit_model.network.claims import check_shapes, shapes_of
        from pvit_model.network.tensor_file import load_tensors, shapes_in

        folder = Path(source)
        if not folder.is_dir():
            folder = _download(str(source), revision, token)
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise SourceError(
                    f"model '{source}' has no {name}; expected a folder written by save_pretrained"
                )
        config = read_config(folder)

        def make() -> nn.Module:
            return cast("nn.Module", cls(config))  # type: ignore[call-arg]

        given = shapes_in(folder / WEIGHTS)
        wanted = shapes_of(make, f"'{folder / CONFIG}'", len(given))
        check_shapes(wanted, given, str(folder))
        model = make()
        model.load_state_dict(load_tensors(folder / WEIGHTS))
        return cast("Self", model.eval())


def read_config(folder: Path) -> PViTConfig:
    """The configuration of a network's folder.

    Raises:
        ConfigError: if it is none of ours.
    """
    path = folder / CONFIG
    try:
        text = read_regular(path, MAX_JSON_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"'{path}': {error.strerror or error}") from None
    return parse_config(text, f"'{path}'")


def parse_config(text: bytes, where: str) -> PViTConfig:
    """The configuration in a JSON text; `where` it comes from, for messages.

    Raises:
        ConfigError: if it is none of ours.
    """
    from pydantic import ValidationError

    from pvit_model.config import PViTConfig

    try:
        content = parse_json(text, where)
        if not isinstance(content, dict):
            raise FormatError("no JSON object")
        return PViTConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{where} is no model configuration: {first_problem(error)}") from error
    except FormatError as error:
        raise ConfigError(f"{where} is no model configuration: {error}") from error


def _download(name: str, revision: str | None, token: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                name, revision=revision, token=token, allow_patterns=[WEIGHTS, CONFIG]
            )
        )
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        first = str(error).splitlines()[0]
        raise SourceError(
            f"'{name}' is neither a folder nor a model that the Hub gives ({first})"
        ) from error
