"""Allow-lists of names, one JSON file a library, made by `python tools/make_allowlist.py`. Read by `lists`."""
