"""How a dataset is opened, as the lines of its card: each can be run as it stands, with one's own base for layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pvit_data.format.index import index_name
from pvit_data.format.manifest import LayerEntry, Manifest, SourceEntry
from pvit_data.format.names import SPLITS

BASE = "BASE"


@dataclass(frozen=True)
class Place:
    """Where a dataset is, as it stands in code.

    Args:
        repo: on the Hub, owner/name; "": nobody knows yet, so that `URL` and `PATH` stand there.
    """

    repo: str = ""

    @property
    def url(self) -> str:
        """All of it."""
        return f'"hf://datasets/{self.repo}"' if self.repo else "URL"

    @property
    def path(self) -> str:
        """For `load_dataset`."""
        return f'"{self.repo}"' if self.repo else "PATH"

    def layer(self, name: str) -> str:
        """A layer of it, for those who have its base elsewhere."""
        return f'"hf://datasets/{self.repo}#{name}"' if self.repo else f'URL + "#{name}"'

    def file(self, name: str) -> str:
        """A file of it."""
        return f"hf://datasets/{self.repo}/{name}" if self.repo else f"URL/{name}"


def splits_of(entry: SourceEntry) -> list[str]:
    """Its splits, train first."""
    return sorted(entry.splits, key=SPLITS.index)


def is_table(entry: SourceEntry) -> bool:
    """Whether its rows are read in its index: those of a protocol, some of which are nowhere else."""
    return isinstance(entry, LayerEntry) and entry.spec.kind == "protocol"


def opened(manifest: Manifest, entry: SourceEntry, place: Place) -> str:
    """The call that opens a source or layer, without its closing parenthesis.

    A layer whose base is not in the dataset is opened over the reader's own, `BASE`.
    """
    name = entry.spec.name
    if not isinstance(entry, LayerEntry):
        return f'pvit_data.open({place.url}, source="{name}"'
    over = entry.spec.base.source
    is_here = over in manifest.sources
    if is_table(entry):
        base = "" if is_here else f", base={BASE}"
        return f'pvit_data.open({place.url}, source="{name}"{base}'
    if is_here:
        return f'pvit_data.open({place.url}, source="{over}", layers=["{name}"]'
    return f'pvit_data.open({BASE}, source="{over}", layers=[{place.layer(name)}]'


def recipes(manifest: Manifest, first: SourceEntry, place: Place) -> str:
    """The blocks of code that load a split of a source or layer."""
    name, split = first.spec.name, splits_of(first)[0]
    call = opened(manifest, first, place)
    own = ""
    if BASE in call and isinstance(first, LayerEntry):
        over = first.spec.base.source
        own = f'{BASE} = "data"  # your own folder or URL of the shards of {over}: its pictures are not here\n'
    blocks = [
        f'import pvit_data\n{own}ds = {call}, split="{split}")\n'
        "sample = ds[0]           # sample.rgb, sample.depth, ... are arrays, or None\n",
        "from datasets import load_dataset\n"
        f'ds = load_dataset({place.path}, "{name}", split="{split}", streaming=True)\n',
    ]
    if not is_table(first):
        blocks.append(
            "import webdataset as wds\nfrom pvit_data.decoders import decode\n"
            f'ds = wds.WebDataset("{_first_shard(first, split)}", shardshuffle=False).map(decode)\n'
        )
    return "".join(f"```python\n{block}```\n" for block in blocks)


def _first_shard(entry: SourceEntry, split: str) -> str:
    shards = entry.splits[split].shards
    return shards[0].name if shards else f"{entry.spec.folder}/{split}-00000.tar"


def layer_lines(manifest: Manifest, place: Place) -> list[str]:
    """What each layer is over, and how it is opened."""
    if not manifest.layers:
        return []
    lines = ["\n## Layers\n"]
    for name, entry in sorted(manifest.layers.items()):
        spec = entry.spec
        made = f", made by {spec.made_by}" if spec.made_by else ""
        sure = f" {spec.confidence}" if spec.confidence else ""
        table = _table(entry, place) if is_table(entry) else ""
        call = f"`{opened(manifest, entry, place)})`"
        lines.append(
            f"- **{name}**: {spec.kind} over {spec.base.source}{made}; {call}{table}.{sure}"
        )
    missing = sorted({e.spec.base.source for e in manifest.layers.values()} - {*manifest.sources})
    if missing:
        lines.append(f"\n`{BASE}` is your own folder or URL of shards with {', '.join(missing)}.")
    return lines


def _table(entry: SourceEntry, place: Place) -> str:
    """How the rows of a protocol are had as a table."""
    names: Sequence[str] = splits_of(entry)
    files = {split: place.file(index_name(entry.spec.folder, split)) for split in names}
    return f'; its rows: `load_dataset("parquet", data_files={files})`'
