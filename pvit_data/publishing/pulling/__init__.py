"""Fetching a dataset: what of it, into which folder, file by file."""
