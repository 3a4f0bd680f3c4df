"""The story that `assay demo` plays: one release after another on real mortgage applications."""
