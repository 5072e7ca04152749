"""`README.md`: the dataset's card, with every field declared so that `load_dataset` and the Hub's viewer see all."""

from __future__ import annotations

from pvit_data.manifest import Manifest

CARD_NAME = "README.md"


def write_card(manifest: Manifest) -> bytes:
    """The card of a dataset, as UTF-8 Markdown."""
    return b""
