"""The APIs of language models as the firewall sees them: where their text lies, and how streams of it are rewritten.

    request ─► strict JSON ─► parts with provenance ─► verdict ─► redacted request
    stream  ─► events ─► a held-back channel for each text, tool calls whole ─► verdicts ─► events

Nothing here opens a socket; the proxy and the middleware do.
"""
