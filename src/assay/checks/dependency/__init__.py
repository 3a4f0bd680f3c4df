"""Checks of what an asset depends on."""
