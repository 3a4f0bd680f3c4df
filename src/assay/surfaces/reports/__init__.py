"""Decisions and findings in the forms that people and other tools read."""
