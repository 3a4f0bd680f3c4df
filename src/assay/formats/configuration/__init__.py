"""Readers of serving configuration: Dockerfiles, YAML manifests, server settings and tool lists; values with their lines."""
