"""Ledger, envelopes, keys, trust, blobs."""
