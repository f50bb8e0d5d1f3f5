"""What other programs take: scikit-learn's estimator, and trackers that receive the events of a training."""
