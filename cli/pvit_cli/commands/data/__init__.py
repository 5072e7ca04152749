"""The commands of `pvit-data`."""
