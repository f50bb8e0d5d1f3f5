"""Trust the training: what went wrong, since when, and what to do."""
