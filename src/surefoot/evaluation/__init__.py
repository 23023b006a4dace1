"""Rollouts, collection of data, metrics."""
