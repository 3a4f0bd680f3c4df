"""Checks of code trees: what source does that should not pass review, and credentials in any text."""
