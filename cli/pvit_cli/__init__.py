"""The commands `pvit-data` and `pvit`: parse, call, print."""
