"""Checks of how evenly a model treats groups of people."""
