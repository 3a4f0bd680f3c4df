"""Checks of how well a model answers."""
