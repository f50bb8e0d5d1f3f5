"""The seven steps tied together: the learner, and what it trains and predicts with."""
