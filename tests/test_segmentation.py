"""The network that separates speakers: its two graphs, and windows that share the first of them."""

import hashlib
import importlib.resources
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from voxtrait import runtime
from voxtrait.recognize.portable.nodes import packaged
from voxtrait.speech import segmentation
from voxtrait.synthetic import draw_voice, speak
from voxtrait.timelines.tracks import SHARED, Tracks

RATE = 16_000


@pytest.fixture(scope="module")
def talk() -> np.ndarray:
    """30 s of two synthetic voices, in turns of 5 s."""
    people = [draw_voice("female", 30.0, seed=5), draw_voice("male", 40.0, seed=6)]
    return np.concatenate([speak(people[place % 2], 5.0, seed=place) for place in range(6)])


def test_the_notice_has_the_hashes_of_the_graphs() -> None:
    folder = importlib.resources.files(segmentation.PACKAGE)
    notice = folder.joinpath("segmentation.NOTICE.txt").read_text("utf-8")
    for graph in (segmentation.FILTERS, segmentation.GRAPH):
        assert hashlib.sha256(folder.joinpath(graph).read_bytes()).hexdigest() in notice


@pytest.mark.parametrize("samples", [271, 300, 301, 80_170, segmentation.WINDOW])
def test_a_position_of_the_first_layer_depends_on_its_samples_only(talk: np.ndarray, samples: int) -> None:
    whole = segmentation.first_layer(talk[: segmentation.WINDOW])
    assert whole.shape == (160, segmentation.POSITIONS)
    for start in (0, 79_830):
        part = segmentation.first_layer(talk[start : min(start + samples, segmentation.WINDOW)])
        first = start // segmentation.POSITION
        np.testing.assert_allclose(part, whole[:, first : first + part.shape[1]], atol=1e-6)
        assert part.shape[1] == (min(samples, segmentation.WINDOW - start) - 241) // 30
    assert (whole[:80] >= whole[80:]).all()


def test_level_and_offset_of_a_window_do_not_matter(talk: np.ndarray) -> None:
    """The network normalises its window. The first graph leaves this out, and the second one corrects for it."""
    window = talk[: segmentation.WINDOW]
    expected = segmentation.activity(window)
    assert (expected.max(axis=0) > 0.9).sum() == 2
    for gain, offset in ((0.3, 0.0), (3.0, 0.0), (1.0, 0.2), (0.5, -0.3)):
        found = segmentation.activity(gain * window + np.float32(offset))
        assert np.abs(found - expected).mean() < 0.001, (gain, offset)


def test_both_graphs_compute_the_first_layer_of_the_published_network(talk: np.ndarray) -> None:
    """That is: normalise the window, filter it in steps of 10 samples, and take the largest absolute value of three."""
    graphs = [onnx.load_model_from_string(packaged(name)) for name in (segmentation.FILTERS, segmentation.GRAPH)]
    values = {
        one.name: onnx.numpy_helper.to_array(one).astype(float) for graph in graphs for one in graph.graph.initializer
    }
    window = talk[: segmentation.WINDOW] + np.float32(0.01)
    steady = (window - window.mean(dtype=float)) / np.sqrt(window.var(dtype=float) + 1e-5)
    normalised = values["norm0.weight"] * steady + values["norm0.bias"]
    parts = np.lib.stride_tricks.sliding_window_view(normalised, 251)[::10]
    filtered = np.abs(parts @ values["conv.weight"][:, 0].T)
    expected = filtered[: len(filtered) // 3 * 3].reshape(-1, 3, 80).max(axis=1).T
    rest = graphs[1].graph
    name = next(node.input[0] for node in rest.node if node.op_type == "InstanceNormalization")
    rest.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    given = {"signal": window[None], "peaks": segmentation.first_layer(window)[None]}
    (found,) = runtime.session(graphs[1].SerializeToString()).run([name], given)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5 * expected.max())


def test_windows_of_a_recording_share_the_first_layer(monkeypatch: pytest.MonkeyPatch, talk: np.ndarray) -> None:
    """After a window with speech, only the new half of the next one is processed. The activity does not change."""
    first_layer, activity, sizes = segmentation.first_layer, segmentation.activity, list[int]()
    signal = np.concatenate([talk, np.zeros(20 * RATE, np.float32), talk[: 15 * RATE]])

    def counted(signal: Any) -> Any:
        sizes.append(len(signal))
        return first_layer(signal)

    def found(seconds: int, map_: Callable[..., Iterable[Any]] = map) -> np.ndarray:
        tracks, size = Tracks(map_), seconds * RATE
        sizes.clear()
        parts = [part for at in range(0, len(signal), size) for part in tracks.feed(signal[at:][:size])]
        assert sizes == [whole, *5 * [half], whole, *2 * [half]]
        return np.concatenate([part.activity for part in [*parts, *tracks.close()]])

    whole, half = segmentation.WINDOW, segmentation.WINDOW - SHARED * segmentation.POSITION
    monkeypatch.setattr(segmentation, "first_layer", counted)
    shared = found(7)
    assert (shared.max(axis=0) > 0.9).sum() >= 2
    for seconds in (1, 65):
        np.testing.assert_array_equal(found(seconds), shared)
    with ThreadPoolExecutor(2) as pool:
        np.testing.assert_array_equal(found(65, pool.map), shared)
    monkeypatch.setattr(segmentation, "activity", lambda window, _=None: activity(window))
    alone = np.concatenate([part.activity for tracks in [Tracks()] for part in [*tracks.feed(signal), *tracks.close()]])
    assert np.abs(alone - shared).mean() < 0.001
