"""Text as hostile input: views of what hides in it, patterns in linear time, personal data with checksums."""
