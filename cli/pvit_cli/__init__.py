"""The commands `pvit-data` and `pvit`. They are used from a shell; nothing here is to be imported."""

__all__: list[str] = []
