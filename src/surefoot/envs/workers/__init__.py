"""Processes that step simulators. No module here imports JAX; `local` and `ipc` need NumPy only."""
