"""Documents and their evaluation: statements in, a decision out."""
