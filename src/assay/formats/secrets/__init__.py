"""Credentials in text: found by a literal anchor, shaped by a bounded pattern, then proved; never repeated in what is said."""
