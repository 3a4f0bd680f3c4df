"""One file a check, by family; families do not know each other."""
