"""`as_hf`: a source as an object of the library `datasets`, streamed or a table, without a copy of any shard.

The features tell every column; what they hold is decoded when a value is taken. The table holds what the index has and
numbers of rows, so it is made in a moment and selects, filters and shuffles as any other. The stream reads shards from
front to back, and its shuffle buffer holds encoded samples.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pvit_data.bridges.runs import Run, fetched, runs_of
from pvit_data.errors import UsageError
from pvit_data.format.members import FIELDS
from pvit_data.reading.dataset import ShardDataset
from pvit_data.reading.open import open_dataset
from pvit_data.storage.ahead import BlocksAhead
from pvit_data.words import plain_url

if TYPE_CHECKING:  # it imports `datasets`, which takes a second
    from pvit_data.bridges.columns import Origin


def as_hf(
    url: str | Path,
    source: str,
    split: str | None = None,
    *,
    streaming: bool = True,
    fields: Collection[str] | None = None,
    where: str | None = None,
    layers: Sequence[str] = (),
    base: str | Path = "",
) -> Any:
    """A source as a dataset of Hugging Face's `datasets`; public as `pvit_data.as_hf`.

    The columns are the attributes of `Sample` that the source has; box tables, lists of actions and cameras are
    dictionaries of arrays, an action with a label space is a `ClassLabel`. What a sample lacks is None.

    Args:
        url, source, split, where, layers, base: as of `pvit_data.open`; layers are attached where they are named.
        streaming: an `IterableDataset` shard by shard, or a `Dataset` with random access.
        fields: the wanted columns: `"rgb"`, `"depth"`, ... Default: all.

    Raises:
        UsageError: if there is no such dataset, source or layer, it has no index, or the address of a table holds a
            password.
        FormatError, StorageError: as `pvit_data.open`, also when a value is taken.

    Example:
        >>> import numpy as np, pvit_data
        >>> with pvit_data.ShardWriter("data", "mine") as writer:
        ...     writer.write(pvit_data.Sample(key="a", depth=np.ones((2, 4, 6), np.float32)))
        >>> next(iter(pvit_data.as_hf("data", "mine")))["depth"].shape
        (2, 4, 6)
        >>> pvit_data.as_hf("data", "mine", streaming=False)[0]["key"]
        'a'
    """
    from pvit_data.bridges import columns

    address = str(url) if "://" in str(url) else str(Path(url).absolute())
    dataset = open_dataset(
        url, source, split, fields, where, layers=layers, base=base,
        cache=BlocksAhead() if streaming else None,
    )  # fmt: skip
    runs = runs_of(dataset)
    plain = all(plain_url(each) == each for each in (address, str(base), *layers))
    if not streaming and not plain:
        raise UsageError(
            f"{plain_url(address)}: a table would keep the password of this address: give it by the settings of the "
            "store, or take streaming=True"
        )
    given = (str(base), *layers) if plain else ("",)
    origin = columns.Origin(
        plain_url(address), source, split, where, given[1:], given[0], dataset.digest_of(source)
    )
    wanted = FIELDS if fields is None else fields
    present = [f for f in FIELDS if f in wanted and dataset.column(f"has_{f}").any()]
    features = columns.features_of(dataset, origin, present)
    return (_stream if streaming else _table)(dataset, runs, features, origin)


def _stream(dataset: ShardDataset, runs: list[Run], features: Any, origin: Origin) -> Any:
    import datasets

    given = {"runs": runs, "dataset": dataset, "features": features}
    return datasets.IterableDataset.from_generator(_rows, features=features, gen_kwargs=given)


def _rows(runs: list[Run], dataset: ShardDataset, features: Any) -> Iterator[dict[str, Any]]:
    """Rows of runs, of which a process gets some."""
    from pvit_data.bridges.columns import Held, row_values

    for number, found in fetched(dataset, runs):
        has = [f for f in FIELDS if dataset.value(f"has_{f}", number)]
        yield row_values(Held(dataset, number, found), has, features)


def _table(dataset: ShardDataset, runs: list[Run], features: Any, origin: Origin) -> Any:
    import datasets
    import pyarrow as pa

    from pvit_data.bridges.columns import column_values, remember

    remember(origin, dataset)
    table = pa.table(column_values(dataset, features), schema=features.arrow_schema)
    return datasets.Dataset(
        datasets.table.InMemoryTable(table), info=datasets.DatasetInfo(features=features)
    )
