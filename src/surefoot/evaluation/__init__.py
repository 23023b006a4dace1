"""Evaluation of trained runs: rollouts, data collection, statistics."""
