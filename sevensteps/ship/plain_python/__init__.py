"""Plain Python: a model as a short program that needs NumPy or PyTorch, and not this package."""
