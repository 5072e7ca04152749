"""Files of the kinds that raw datasets consist of, written with the same bytes every time."""
