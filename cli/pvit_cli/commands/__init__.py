"""The commands of `pvit-data`, one module each with a function `register(app)`."""
