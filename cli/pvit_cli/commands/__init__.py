"""The commands of `pvit-data` and of `pvit`, one module each; a module has a function `register(app)`."""
