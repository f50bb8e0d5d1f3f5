"""Trust the training: say what went wrong, since when, and what to do."""
