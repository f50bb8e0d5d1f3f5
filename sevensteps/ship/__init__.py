"""Use a trained model: predict pictures."""
