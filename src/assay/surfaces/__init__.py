"""How the world talks to Assay; no rule of the domain stands here."""
