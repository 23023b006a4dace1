"""Audit: offline judgement of a trained policy by logged episodes alone."""
