"""`python -m pvit_data`: the installed command `pvit-data`, where its script is not on the path."""

from importlib.metadata import entry_points

(_command,) = entry_points(group="console_scripts", name="pvit-data")
raise SystemExit(_command.load()())
