"""Environments of other people: any Gymnasium environment of real numbers, as a task file says what they mean."""
