"""Executors of a benchmark's cells: this process, processes beside it, or Ray."""
