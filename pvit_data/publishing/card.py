"""The card of what is published: that of the dataset, with what was confirmed about the rights to it."""

from __future__ import annotations

from collections.abc import Sequence

from pvit_data.format.manifest import Manifest
from pvit_data.storage.files import utf8
from pvit_data.writing.card import write_card

RIGHTS = "## Rights"


def published_card(manifest: Manifest, repo: str, confirmed: Sequence[str]) -> bytes:
    """The card, as UTF-8 Markdown with a YAML head; the same for the same arguments.

    Args:
        manifest: of what is published.
        repo: owner/name, which takes the place of the examples' URL.
        confirmed: sentences for the section about rights.
    """
    text = write_card(manifest).decode()
    text = text.replace("pvit_data.open(URL", f'pvit_data.open("hf://datasets/{repo}"')
    text = text.replace("load_dataset(PATH", f'load_dataset("{repo}"')
    if confirmed:
        text += "\n".join([f"\n{RIGHTS}\n", *(f"- {each}" for each in confirmed)]) + "\n"
    return utf8(text)
