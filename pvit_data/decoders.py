"""Safe decoders for plain WebDataset pipelines, in place of WebDataset's own, which execute pickles.

    import webdataset as wds
    from pvit_data.decoders import decode
    samples = wds.WebDataset("mine/train-{00000..00009}.tar", shardshuffle=False).map(decode)

`decode` turns the members of a sample into a `Sample` with arrays, exactly as `pvit_data.open` returns it.
"""

from pvit_data.reading.decode import decode

__all__ = ["decode"]
