"""Heads on a speaker encoder: the recipes ``base`` and ``fast``."""
