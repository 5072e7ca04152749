"""The card of what is published: that of the dataset, with its owner's own words and what was confirmed about rights.

Own words stand between two comments; whoever edits the card on the Hub there finds them again after the next time. A
third comment, at its end, tells whether anything else was changed since, which is then written anew.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from pvit_data.format.manifest import Manifest
from pvit_data.lineage.fields import FieldLineage, lineage_of, strictest_public
from pvit_data.publishing.describing.preview import Shown
from pvit_data.publishing.describing.sections import pictures, provenance, statistics
from pvit_data.storage.files import utf8
from pvit_data.writing.card import write_card

RIGHTS = "## Rights"
LOAD = "\n## Load\n"
CONVENTIONS = "## Conventions\n"
FIRST = "<!-- Your own words: what stands from here -->"
LAST = "<!-- to here stays when this is published again. -->"
SEAL = "<!-- Everything else is written anew each time; {} tells whether it was changed since. -->"
_SEALED = re.compile("\\n\\n" + re.escape(SEAL).replace(r"\{\}", "[0-9a-f]{16}") + "\\n")
NEWLINE = "\n"
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
    text = write_card(manifest, _said(lines), repo).decode()
    more = [*pictures(shown), *statistics(shown.stats), *provenance(lines)]
    text = text.replace(CONVENTIONS, "\n".join([*more, CONVENTIONS]), 1)
    if confirmed:
        text += "\n".join([f"\n{RIGHTS}\n", *(f"- {each}" for each in confirmed)]) + "\n"
    text = text.replace(LOAD, f"\n{FIRST}\n{own_words(before)}{LAST}\n{LOAD}", 1)
    return utf8(sealed(text))


def _said(lines: Sequence[FieldLineage]) -> dict[str, tuple[list[str], str]]:
    """Licences of each source and layer, and whether all of it may be passed on."""
    found: dict[str, list[FieldLineage]] = {}
    for line in lines:
        found.setdefault(line.name, []).append(line)
    return {
        name: ([*dict.fromkeys(line.licence for line in mine)], strictest_public(mine))
        for name, mine in found.items()
    }


def sealed(text: str) -> str:
    """A card with the comment that tells later whether somebody changed it outside of the own words."""
    return f"{text.rstrip(NEWLINE)}\n\n{SEAL.format(_digest(text))}\n"


def lost_words(card: str, commit: str) -> tuple[str, ...]:
    """What is to be said before a card is written anew: nothing, or that somebody's changes are lost.

    Args:
        card: that is there now; "": none.
        commit: where it stays to be read.

    >>> lost_words(sealed("# Mine\\n"), "c0ffee")
    ()
    """
    text = card.replace("\r\n", NEWLINE)
    if not text or sealed(_SEALED.sub("", text, count=1)) == text:
        return ()
    return (
        f"README.md there has other words outside of the section for your own: it is written anew; "
        f"what it was stays in commit {commit[:10]}",
    )


def _digest(text: str) -> str:
    """Of all but the own words."""
    words = own_words(text)
    rest = text.replace(f"{FIRST}\n{words}", f"{FIRST}\n", 1).rstrip(NEWLINE)
    return hashlib.sha256(rest.encode()).hexdigest()[:16]


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
