"""Safe decoders for plain WebDataset pipelines, in place of WebDataset's own, which execute pickles.

`decode` turns the members of a sample into a `Sample` with arrays, exactly as `pvit_data.open` returns it:

    import webdataset as wds
    from pvit_data.decoders import decode
    samples = wds.WebDataset("mine/train-{00000..00009}.tar", shardshuffle=False).map(decode)

Example:
    >>> import numpy as np, pvit_data
    >>> from pvit_data.decoders import decode
    >>> with pvit_data.ShardWriter("data", "mine") as writer:
    ...     writer.write(pvit_data.Sample(key="a", depth=np.ones((2, 4, 6), np.float32)))
    >>> decode({"__key__": "a", **pvit_data.open("data").files(0)}).depth.shape
    (2, 4, 6)
"""

from pvit_data.reading.decode import decode

__all__ = ["decode"]
