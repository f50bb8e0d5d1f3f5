"""Runs: their folders and checkpoints, training to the end, and opening a saved one."""
