"""Readers of what names packages: lock files, environments, bills of materials, and OSV records about packages."""
