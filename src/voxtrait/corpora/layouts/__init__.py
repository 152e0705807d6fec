"""One file a layout: where it is from, its licence, its tree, its known dirt, and how it becomes a manifest."""
