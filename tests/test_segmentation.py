"""The network that separates speakers: its two graphs, and windows that share the first of them."""

import hashlib
import importlib.resources
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from voxtrait.speech import segmentation
from voxtrait.synthetic import draw_voice, speak
from voxtrait.timelines.tracks import SHARED, Tracks

RATE = 16_000


@pytest.fixture(scope="module")
def talk() -> np.ndarray:
    """Two made-up people in turns of five seconds: 30 s."""
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
    """The network normalises its window. The first layer comes before that here; the rest makes up for it."""
    window = talk[: segmentation.WINDOW]
    expected = segmentation.activity(window)
    assert (expected.max(axis=0) > 0.9).sum() == 2
    for gain, offset in ((0.3, 0.0), (3.0, 0.0), (1.0, 0.2), (0.5, -0.3)):
        found = segmentation.activity(gain * window + np.float32(offset))
        assert np.abs(found - expected).mean() < 0.001, (gain, offset)
        assert (np.abs(found - expected) < 0.1).mean() > 0.995, (gain, offset)


def test_windows_of_a_recording_share_the_first_layer(monkeypatch: pytest.MonkeyPatch, talk: np.ndarray) -> None:
    """After a window with speech, half of the next one is known. The activity is that of windows on their own."""
    first_layer, activity, sizes = segmentation.first_layer, segmentation.activity, list[int]()
    signal = np.concatenate([talk, np.zeros(20 * RATE, np.float32), talk[: 15 * RATE]])

    def counted(signal: Any) -> Any:
        sizes.append(len(signal))
        return first_layer(signal)

    def found(map_: Callable[..., Iterable[Any]] = map) -> np.ndarray:
        tracks = Tracks(map_)
        blocks = [signal[at:][: 7 * RATE] for at in range(0, len(signal), 7 * RATE)]
        return np.concatenate([one.activity for block in blocks for one in tracks.feed(block)])

    monkeypatch.setattr(segmentation, "first_layer", counted)
    shared = found()
    whole, half = segmentation.WINDOW, segmentation.WINDOW - SHARED * segmentation.POSITION
    assert sizes == [whole, *5 * [half], whole, *2 * [half]]
    assert (shared.max(axis=0) > 0.9).sum() >= 2
    with ThreadPoolExecutor(2) as pool:
        np.testing.assert_array_equal(found(pool.map), shared)
    monkeypatch.setattr(segmentation, "activity", lambda window, _: activity(window))
    np.testing.assert_array_equal(found(), shared)
