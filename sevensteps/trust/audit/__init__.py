"""Trust the pictures: find what is wrong with them before training."""
