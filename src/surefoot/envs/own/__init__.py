"""Environments of other people: any Gymnasium environment of real numbers, whose meaning a task file states."""
