"""Tie the seven steps together: `Predictor` answers, `Trainer` trains as a stream, `Learner` adds fastai's verbs."""
