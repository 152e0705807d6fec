"""Baselines, cross-corpus evaluation, ablations, and the rebuild of the shipped bundles."""
