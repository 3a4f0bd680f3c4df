"""Checks of serving infrastructure: images, manifests, server settings and tool lists."""
