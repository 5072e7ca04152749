"""The card of what is published: that of the dataset, with its owner's own words and what was confirmed about rights.

Own words stand between two comments; whoever edits the card on the Hub there finds them again after the next time.
"""

from __future__ import annotations

from collections.abc import Sequence

from pvit_data.format.manifest import Manifest
from pvit_data.lineage.fields import lineage_of
from pvit_data.publishing.describing.preview import Shown
from pvit_data.publishing.describing.sections import pictures, provenance, statistics
from pvit_data.storage.files import utf8
from pvit_data.writing.card import write_card

RIGHTS = "## Rights"
LOAD = "\n## Load\n"
CONVENTIONS = "## Conventions\n"
FIRST = "<!-- Your own words: what stands from here -->"
LAST = "<!-- to here stays when this is published again. -->"
MAX_CARD_BYTES = 1 << 20
"""Of a card whose own words are kept."""


def published_card(
    manifest: Manifest,
    repo: str,
    confirmed: Sequence[str],
    before: str = "",
    shown: Shown | None = None,
) -> bytes:
    """The card, as UTF-8 Markdown with a YAML head; the same for the same arguments.

    Args:
        manifest: of what is published.
        repo: owner/name, which takes the place of the examples' URL.
        confirmed: sentences for the section about rights.
        before: the card that is there now.
        shown: picture and numbers.
    """
    shown = shown or Shown()
    lines = lineage_of(manifest)
    text = write_card(manifest, {line.licence for line in lines}).decode()
    text = text.replace("pvit_data.open(URL", f'pvit_data.open("hf://datasets/{repo}"')
    text = text.replace("load_dataset(PATH", f'load_dataset("{repo}"')
    text = text.replace(LOAD, f"\n{FIRST}\n{own_words(before)}{LAST}\n{LOAD}", 1)
    more = [*pictures(shown), *statistics(shown.stats), *provenance(lines)]
    text = text.replace(CONVENTIONS, "\n".join([*more, CONVENTIONS]), 1)
    if confirmed:
        text += "\n".join([f"\n{RIGHTS}\n", *(f"- {each}" for each in confirmed)]) + "\n"
    return utf8(text)


def own_words(card: str) -> str:
    """What somebody wrote into a card of ours, with its line ends; "" where there is nothing.

    >>> own_words(f"# Title\\n{FIRST}\\nFilmed in 2019.\\n{LAST}\\n")
    'Filmed in 2019.\\n'
    """
    _, is_there, rest = card.replace("\r\n", "\n").partition(f"{FIRST}\n")
    words, is_closed, _ = rest.partition(LAST)
    if not is_there or not is_closed or not words:
        return ""
    return words if words.endswith("\n") else f"{words}\n"
