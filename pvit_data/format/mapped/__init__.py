"""Tables whose columns lie in a file that processes map: the file, and the folder of those of large indices."""
