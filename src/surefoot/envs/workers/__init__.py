"""Processes that step simulators. Nothing here imports JAX; `lanes` and `wire` need NumPy only."""
