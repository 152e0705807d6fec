"""Corpus layouts, one module each: source, licence, tree, known problems, and the conversion to manifest rows."""
