"""Assets, versions, aliases, lifecycle: a projection of the ledger."""
