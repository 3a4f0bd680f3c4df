"""Readers of hostile bytes; nothing is executed, no length is trusted."""
