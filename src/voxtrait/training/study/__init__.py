"""Baselines, comparisons across corpora, and how the shipped bundles are rebuilt."""
