"""Processes that step simulators. Nothing here imports JAX; `local` and `ipc` need NumPy only."""
