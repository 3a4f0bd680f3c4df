"""Assay: tests machine-learning assets, signs what it learned, lets only what passed reach production."""

__version__ = "0.1.0"
