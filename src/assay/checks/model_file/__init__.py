"""Checks of what model files hold."""
