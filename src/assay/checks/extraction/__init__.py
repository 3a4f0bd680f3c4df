"""How many queries it takes to copy a model."""
