"""Surefoot: safe offline reinforcement learning in JAX."""
