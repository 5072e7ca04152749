"""Save and load whole models: `model.safetensors` and `config.json` in a folder or a Hub repository."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress
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
PICKLES = (".bin", ".pt", ".pth", ".pyth", ".ckpt", ".pkl", ".pickle")
"""Ends of names of files that can run code when they are read."""
SHA256 = re.compile(r"[0-9a-f]{64}")


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

        Args:
            source: of a repository, files of the Hub's cache are used where `HF_HUB_OFFLINE` is set.
            revision: of a repository: branch, tag or commit; default: what stands after an `@`, else `main`.
            token: for the Hub, in place of the user's own.

        Raises:
            SourceError: if the folder lacks one of the two files, they do not belong together, or the Hub gives none.
            ConfigError: if the configuration is not one of ours.
        """
        from pvit_model.network.claims import check_shapes, shapes_of
        from pvit_model.network.tensor_file import load_tensors, shapes_in

        folder = Path(source)
        if not folder.is_dir():
            folder = download(str(source), (CONFIG, WEIGHTS), revision, token)
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise SourceError(f"model '{source}' has no {name}{_instead(folder)}")
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


def _instead(folder: Path) -> str:
    """What a folder has in place of our files: pickles are never opened."""
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    return no_safetensors(pickles) if pickles else "; expected a folder written by save_pretrained"


def no_safetensors(pickles: Sequence[str]) -> str:
    """The end of a sentence about a model that only has files which are not opened."""
    return (
        f", only {pickles[0]}: such files can run any code and are not opened; ask its owner for {WEIGHTS}, or give "
        "published weights as model.checkpoint=FILE of a recipe"
    )


def download(
    name: str, files: Sequence[str], revision: str | None = None, token: str | None = None
) -> Path:
    """These files of a model, in the Hub's cache: fetched where they are not there, compared with their hash.

    Args:
        name: `owner/name`, or `owner/name@revision`.
        files: names; those that it does not have are left out.
        revision: branch, tag or commit; goes before the name's.
        token: in place of the user's own.

    Raises:
        SourceError: if there is no such model, it has no weights that are opened, or other bytes come than it has.
    """
    from huggingface_hub import constants, snapshot_download

    from pvit_data.publishing.connection import in_words, quieten, reason

    quieten(bars=True)
    repo, _, told = name.partition("@")
    revision = revision or told or None

    def fetch(again: bool) -> Path:
        return Path(
            snapshot_download(
                repo,
                revision=revision,
                token=token,
                allow_patterns=[*files],
                force_download=again,
            )
        )

    try:
        folder = fetch(False)
        if damaged(folder, files) and not constants.HF_HUB_OFFLINE:
            folder = fetch(True)  # the client compares no contents
    except Exception as error:  # the client's classes are many
        if constants.HF_HUB_OFFLINE:
            raise SourceError(
                f"'{name}' is no folder here and not in the Hub's cache; HF_HUB_OFFLINE is set, so the Hub is not asked"
            ) from None
        said = in_words(reason(error), repo)
        raise SourceError(
            f"'{name}' is neither a folder nor a model that the Hub gives ({said})"
        ) from None
    if wrong := damaged(folder, files):
        raise SourceError(
            f"'{name}': {wrong} has other bytes than the Hub says: run the same command again"
        )
    if not (folder / WEIGHTS).is_file():
        raise SourceError(f"'{name}' has no {WEIGHTS}{_others(repo, revision, token)}")
    return folder


def _others(repo: str, revision: str | None, token: str | None) -> str:
    """What a repository has in place of our weights."""
    from huggingface_hub import HfApi

    with suppress(Exception):  # it is told of only to help
        listed = HfApi(token=token).list_repo_files(repo, revision=revision)
        if pickles := sorted(name for name in listed if Path(name).suffix in PICKLES):
            return no_safetensors(pickles)
    return "; it is no model of this toolkit"


def damaged(folder: Path, files: Sequence[str]) -> str:
    """The first file of the Hub's cache that is not what its name in the cache says; "" where all are.

    Large files are called by their sha256 there, small ones by git's id, which is not looked at.
    """
    for name in files:
        blob = (folder / name).resolve()
        if not SHA256.fullmatch(blob.name):
            continue
        with blob.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != blob.name:
                return name
    return ""
