"""The linear model of injections: features, weights with their card, and how a text is scored."""
