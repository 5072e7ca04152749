"""Official metrics as functions of arrays; they know no files."""
