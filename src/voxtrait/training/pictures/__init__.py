"""Spectrogram CNNs (baseline): the recipes ``diary-gender`` and ``diary-age``."""
