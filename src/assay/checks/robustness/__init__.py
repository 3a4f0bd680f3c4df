"""Checks of how a model answers to inputs that were changed on purpose."""
