"""Makes reference/python-api.md: the public names, which Sphinx documents from their docstrings."""

import importlib
from collections.abc import Iterator

from generators.fields import page, prose

SECTIONS = {
    "Recognition": (
        "A recogniser runs a bundle. [Prediction fields](prediction.md) has the fields as a table.",
        """
        load Recognizer Prediction to_frame recognize.Listening recognize.Estimate
        """,
    ),
    "Timelines": (
        "[Timeline fields and formats](timeline.md) has the fields as tables.",
        """
        timeline Timeline timelines.Segment timelines.Speaker timelines.read_turns timelines.LiveDiarizer
        timelines.formats.render timelines.formats.write_table
        """,
    ),
    "Audio": (
        "A signal is a float32 array in [-1, 1]: `(samples,)` if mono, else `(channels, samples)`.",
        """
        audio.load audio.blocks audio.resample audio.to_mono audio.to_pcm16 audio.write_wav
        audio.streams.incoming audio.streams.microphone audio.streams.Raw
        """,
    ),
    "Features": (
        "The only mel code. A front end has every parameter: [the table](bundle.md#front-end).",
        """
        features.log_mel features.mel_power features.picture features.windows features.network_input
        features.encode_png features.decode_png features.pitch_contour features.FrontEnd
        features.picture_front_end features.kaldi_front_end
        """,
    ),
    "Corpora and manifests": (
        "A manifest is a Polars data frame with [these columns](manifest.md).",
        """
        corpora.import_corpora corpora.Import corpora.Funnel corpora.export corpora.Export corpora.stats
        corpora.picture manifest.read manifest.write manifest.conform manifest.with_absolute_paths
        manifest.with_relative_paths manifest.history manifest.funnel.Step manifest.splitting.split
        manifest.splitting.leakage manifest.splitting.Leakage
        """,
    ),
    "Folders of clips": (
        "Conversion to WAV, and spectrogram images.",
        """
        derived.convert.convert derived.pictures.draw derived.axes.with_axes derived.pictures.Summary derived.Summary
        """,
    ),
    "Checks, audit, evaluation and training": (
        "These are the functions behind `corpus check`, `corpus leakage`, `corpus audit`, `evaluate` and `train`.",
        """
        integrity.check integrity.Report integrity.Problem integrity.leakage integrity.Leakage
        integrity.leaks.Shared audit.audit audit.Audit evaluate.evaluate training.train training.recipe.load
        training.recipe.Recipe training.recipe.EncoderRecipe training.run.Outcome
        """,
    ),
    "Bundles": (
        "[Bundle format](bundle.md) has the files and the keys.",
        """
        bundle.load bundle.Bundle bundle.describe bundle.shipped bundle.hash_speaker
        """,
    ),
    "Many files": (
        "Where a job runs. [Process many files](../how-to/scale.md) has examples.",
        """
        batch.Where batch.default_jobs
        """,
    ),
    "Server": (
        "[REST API](rest.md) has the addresses.",
        """
        web.create_app web.Settings
        """,
    ),
}
"""Title → introduction, and the public names below ``voxtrait``."""


def lines() -> Iterator[str]:
    """Yield the lines of the page."""
    yield from page(
        "Python API",
        "These names are public. Other names may change. [Use voxtrait from Python](../how-to/python.md) has examples.",
    )
    for title, (text, names) in SECTIONS.items():
        yield from ("", f"## {title}", "")
        yield from prose(text)
        for name in names.split():
            yield from ("", "```{eval-rst}", *_directive(f"voxtrait.{name}"), "```")
    yield from ("", "## Errors", "")
    yield from prose(
        "Every error that voxtrait raises on purpose is a `VoxtraitError` and also the built-in error that fits."
    )
    yield from ("", "```{eval-rst}", ".. automodule:: voxtrait.errors", "   :members:", "```")


def _directive(name: str) -> Iterator[str]:
    """Yield the directive that documents a name, by what it is."""
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    yield f".. auto{'class' if isinstance(found, type) else 'function'}:: {name}"
    if isinstance(found, type):
        yield "   :members:"
