"""The commands of `pvit`."""
