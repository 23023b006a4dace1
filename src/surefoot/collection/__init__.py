"""Data of Surefoot's own from simulators: all training episodes of an online safe learner, filtered by density."""
