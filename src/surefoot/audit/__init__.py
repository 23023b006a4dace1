"""Audit: judging a trained policy by logged episodes alone, before it is tried."""
