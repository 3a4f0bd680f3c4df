"""The firewall as a proxy in front of a model's server, and as middleware inside one.

client ─► app (reads, bounds, refuses) ─► exchange (judges, reserves, redacts) ─► upstream ─► exchange ─► client
"""
