"""The seven steps, one file each: initialize, predict, loss, gradient, step, repeat, stop; README.md has the order."""
