"""Checks of what a model gives away about its training data."""
