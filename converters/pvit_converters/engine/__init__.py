"""The conversion engine: plans shards, writes them in parallel, survives interruptions, reports.

A conversion is a fixed plan, one task per shard, one receipt per finished shard, and a manifest made from receipts
only. Everything follows from the plan, so any number of workers, any interruption and any job array give the same
bytes.
"""
