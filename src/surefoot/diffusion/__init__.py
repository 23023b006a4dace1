"""Diffusion models: noise schedules, training losses, samplers."""
