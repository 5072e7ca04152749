"""`python -m pvit_model`: the installed command `pvit`, where its script is not on the path."""

from importlib.metadata import entry_points

(_command,) = entry_points(group="console_scripts", name="pvit")
raise SystemExit(_command.load()())
