"""Experiments: plans of tasks and methods, the store of their cells, and executors."""
