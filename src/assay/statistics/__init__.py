"""Intervals, paired tests and sample sizes as pure functions."""
