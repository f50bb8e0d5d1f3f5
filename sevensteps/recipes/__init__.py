"""Recipes: every setting of a run, the TOML files that ship, and the choice of one for given pictures."""
