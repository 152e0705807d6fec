"""Networks on spectrogram pictures: the recipes ``diary-gender`` and ``diary-age``."""
