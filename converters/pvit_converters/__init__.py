"""Converters from raw datasets to PViT shards."""
