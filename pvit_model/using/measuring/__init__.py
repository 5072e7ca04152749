"""What an evaluation measures of a source, batch by batch."""
