"""Ship a model: its file, and what is needed to predict and to explain without training."""
