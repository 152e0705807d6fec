"""Modules that make the generated reference pages: one module a page, and what they share in ``fields``."""
