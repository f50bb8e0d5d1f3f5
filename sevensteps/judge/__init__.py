"""What needs a trained model: scores with their uncertainty, baselines to hold them against, and what went wrong."""
