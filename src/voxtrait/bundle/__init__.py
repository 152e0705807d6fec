"""Reads, checks and writes bundles: folders with one trained model and everything needed to use it, without code.

::

    voxtrait-diary/     a CNN on spectrogram images
        model.onnx      the graph: one input (n, *front_end.input_shape), logits (n, classes) for each task
        bundle.json     front end, labels, calibration, scores, data, licence, versions, hashes of the other files
        speakers.txt    hashes of the speakers of training and model selection, so that evaluations can exclude them
    voxtrait-base/      a speaker encoder on windows of speech, and heads on the mean of its outputs over a clip
        model.onnx      the encoder: "windows" (n, frames, n_mels), with any number of frames → "summary" (n, f)
        head.onnx       the heads: "summary" (m, f) → logits (m, classes) for each task, and "embedding" (m, d)
        bundle.json, speakers.txt

The front end states the kind of a bundle: fit "windows" is the second kind, any other fit the first. Loading checks
everything: a missing or unknown key, a label out of order, a changed file, or a graph that could do more than compute
(:mod:`voxtrait.bundle.graphs`) is an error. Before a graph is opened, its hash is compared again.
"""

from voxtrait.bundle.folder import (
    CALIBRATION,
    DEFAULT,
    FILES,
    FORMAT,
    FORMATS,
    LARGEST,
    PRETRAINED,
    RENAMED,
    SHIPPED,
    TASKS,
    Bundle,
    current_name,
    describe,
    hash_speaker,
    load,
    shipped,
    write,
)

__all__ = [
    "CALIBRATION",
    "DEFAULT",
    "FILES",
    "FORMAT",
    "FORMATS",
    "LARGEST",
    "PRETRAINED",
    "RENAMED",
    "SHIPPED",
    "TASKS",
    "Bundle",
    "current_name",
    "describe",
    "hash_speaker",
    "load",
    "shipped",
    "write",
]
