"""Trust the result, the pictures, and the training."""
