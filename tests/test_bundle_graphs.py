"""Graphs that a bundle must not have: refused by a walk through the protocol buffer, before ONNX Runtime sees them."""

import contextlib
import hashlib
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

import models
from voxtrait import bundle as bundles
from voxtrait.bundle import graphs
from voxtrait.errors import BundleError
from voxtrait.recognize import Recognizer

WHOLE = models.graph({"gender": ("female", "male")})
SHIPPED = sorted(Path(bundles.__file__).parents[1].rglob("*.onnx"))


def made(change: Callable[[onnx.ModelProto], object] = lambda model: None) -> bytes:
    """The graph of the tests with a change."""
    model = onnx.load_from_string(WHOLE)
    change(model)
    return bytes(model.SerializeToString())


def nested(kind: str) -> onnx.AttributeProto:
    inner = helper.make_graph([helper.make_node("Identity", ["a"], ["b"])], "inner", [], [])
    return helper.make_attribute("body", [inner] if kind == "graphs" else inner)


def tensor(**values: object) -> TensorProto:
    return TensorProto(**{"name": "x", "data_type": TensorProto.FLOAT, "dims": [1], "raw_data": bytes(4), **values})


def outside() -> TensorProto:
    found = tensor(data_location=TensorProto.EXTERNAL)
    found.ClearField("raw_data")
    found.external_data.add(key="location", value="../../etc/passwd")
    return found


def holding(found: TensorProto) -> Callable[[onnx.ModelProto], object]:
    return lambda model: model.graph.initializer.append(found)


def constant(found: TensorProto, name: str = "value") -> Callable[[onnx.ModelProto], object]:
    return lambda model: model.graph.node.append(helper.make_node("Constant", [], ["c"], **{name: found}))


def node(operator: str, domain: str = "", **attributes: object) -> Callable[[onnx.ModelProto], object]:
    made = helper.make_node(operator, ["input"], ["unused"], domain=domain, **attributes)
    return lambda model: model.graph.node.append(made)


def with_attribute(attribute: onnx.AttributeProto) -> Callable[[onnx.ModelProto], object]:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node.append(onnx.NodeProto(op_type="If", input=["input"], output=["u"], attribute=[attribute]))

    return change


def giving(kind: onnx.TypeProto, where: str = "output") -> Callable[[onnx.ModelProto], object]:
    return lambda model: getattr(model.graph, where).append(onnx.ValueInfoProto(name="more", type=kind))


FLOATS = helper.make_tensor_type_proto(TensorProto.FLOAT, [1])
SPARSE = helper.make_sparse_tensor(tensor(), numpy_helper.from_array(np.zeros(1, np.int64)), [10**9])
REFUSED: dict[str, tuple[Callable[[onnx.ModelProto], object], str]] = {
    "a tensor in another file": (holding(outside()), "the values of 'x' are in another file"),
    "a tensor in another file, named only": (
        holding(tensor(external_data=[onnx.StringStringEntryProto(key="location", value="/dev/zero")])),
        "the values of 'x' are in another file",
    ),
    "a constant in another file": (constant(outside()), "in another file"),
    "constants in another file": (
        with_attribute(onnx.AttributeProto(name="v", type=9, tensors=[tensor(), outside()])), "in another file"
    ),
    "a domain of one's own": (node("Run", "com.example"), "operators of the domain 'com.example'"),
    "an experimental domain": (node("EPContext", "com.microsoft.experimental"), "com.microsoft.experimental"),
    "a domain that is only imported": (
        lambda model: model.opset_import.append(helper.make_opsetid("org.pytorch.aten", 1)), "org.pytorch.aten"
    ),
    "an operator that opens a file": (
        node("EPContext", "com.microsoft", ep_cache_context="/etc/passwd"), "the operator 'EPContext' of com.microsoft"
    ),
    "a search with graphs inside": (node("BeamSearch", "com.microsoft"), "the operator 'BeamSearch'"),
    "a graph inside an operator": (with_attribute(nested("graph")), "an operator with a graph inside"),
    "graphs inside an operator": (with_attribute(nested("graphs")), "an operator with a graph inside"),
    "functions": (
        lambda model: model.functions.append(onnx.FunctionProto(name="f", domain="")), "it defines functions"
    ),
    "training": (lambda model: model.training_info.add(), "a graph for training"),
    "a sparse tensor": (lambda model: model.graph.sparse_initializer.append(SPARSE), "a sparse tensor"),
    "a sparse constant": (
        with_attribute(onnx.AttributeProto(name="v", type=11, sparse_tensor=SPARSE)), "a sparse tensor"
    ),
    "a terabyte": (holding(tensor(dims=[2**20, 2**18])), "'x' states an impossible shape"),
    "a product beyond 64 bits": (holding(tensor(dims=[2**32, 2**32])), "states an impossible shape"),
    "a negative size": (holding(tensor(dims=[-1])), "states an impossible shape"),
    "nothing of a huge size": (holding(tensor(dims=[0, 2**60], raw_data=b"")), "states an impossible shape"),
    "more values than bytes": (holding(tensor(dims=[1000])), "'x' states 1,000 values, and the file has 4 bytes of it"),
    "fewer values than bytes": (holding(tensor(raw_data=bytes(8))), "states 1 values, and the file has 8 bytes"),
    "typed values that are missing": (
        holding(TensorProto(name="x", data_type=1, dims=[100], float_data=[1.0])), "states 100 values"
    ),
    "values twice": (holding(tensor(float_data=[1.0])), "has its values twice"),
    "many dimensions": (holding(tensor(dims=[1] * 9)), "'x' has 9 dimensions, and the limit is 8"),
    "texts": (holding(tensor(data_type=TensorProto.STRING, string_data=[b"a"])), "is not an array of numbers"),
    "values of 4 bits": (holding(tensor(data_type=TensorProto.INT4)), "has values of the type 22"),
    "values of no type": (holding(tensor(data_type=0)), "has values of the type 0"),
    "a type beyond 32 bits": (holding(tensor(data_type=99)), "has values of the type 99"),
    "part of a tensor": (holding(tensor(segment=TensorProto.Segment(begin=0, end=1))), "is not an array of numbers"),
    "an output that is a sequence": (giving(helper.make_sequence_type_proto(FLOATS)), "'more' is not a tensor of"),
    "an output that is optional": (giving(helper.make_optional_type_proto(FLOATS)), "is not a tensor of float32"),
    "an output of integers": (giving(helper.make_tensor_type_proto(7, [1])), "is not a tensor of float32"),
    "an output without a type": (giving(onnx.TypeProto()), None),
    "an input that is a map": (
        giving(helper.make_map_type_proto(TensorProto.INT64, FLOATS), "input"), "is not a tensor of float32"
    ),
    "an input twice": (
        lambda model: model.graph.input.append(model.graph.input[0]), "several inputs of the same name"
    ),
    "no output": (lambda model: model.graph.ClearField("output"), "it has no graph with an output"),
    "a name of a megabyte": (node("x" * 2**20), "a name of 1,048,576 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_a_bundle_never_needs_is_refused(kind: str) -> None:
    change, message = REFUSED[kind]
    assert graphs.check("model.onnx", made()) == (("input",), ("gender",))
    if message is None:
        assert graphs.check("model.onnx", made(change)).outputs == ("gender", "more")  # left to the runtime
        return
    with pytest.raises(BundleError, match=r"^model\.onnx is refused: .*"):
        try:
            graphs.check("model.onnx", made(change))
        except BundleError as error:
            assert message in str(error)
            raise


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def test_what_two_parsers_may_read_differently_is_refused() -> None:
    whole = made()
    functions = bytes(onnx.ModelProto(functions=[onnx.FunctionProto(name="f")]).SerializeToString())
    assert functions[:2] == varint(25 << 3 | 2)
    long_tag = bytes([functions[0] | 128, functions[1] | 128, 128, 128, 0]) + functions[2:]
    high_tag = bytes([functions[0] | 128, functions[1] | 128, 128, 128, 16]) + functions[2:]
    for content, message in [
        (whole + functions, "defines functions"),
        (whole + long_tag, "defines functions"),  # the same number in more bytes
        (whole + high_tag, "not a valid ONNX file"),  # the same number in the lower 32 bits
        (whole + b"\x00\x00", "not a valid ONNX file"),  # field 0
        (whole + varint(9 << 3 | 3), "not a valid ONNX file"),  # a group
        (whole + varint(99 << 3 | 2) + varint(10**9), "not a valid ONNX file"),  # longer than the file
        (whole + varint(99 << 3 | 0) + b"\xff" * 11, "not a valid ONNX file"),  # a number of more than 64 bits
        (whole + varint(99 << 3 | 5) + b"abc", "not a valid ONNX file"),
        (b"\x12\x04ORTM" + whole, None),
        (b"\x12\x7fabORTM" + bytes(123) + whole, "in the ORT format"),
        (b"", "no graph with an output"),
    ]:
        if message is None:
            assert graphs.check("m", content).outputs == ("gender",)
            continue
        with pytest.raises(BundleError, match=message):
            graphs.check("m", content)
    unknown = whole + varint(99 << 3 | 0) + b"\x05" + varint(98 << 3 | 1) + bytes(8)  # fields of a later version
    assert graphs.check("m", unknown) == graphs.check("m", whole)
    split = onnx.load_from_string(whole)
    nodes = onnx.ModelProto(graph=onnx.GraphProto(node=[onnx.NodeProto(op_type="X", domain="com.example")]))
    merged = split.SerializeToString() + nodes.SerializeToString()
    assert len(onnx.load_from_string(merged).graph.node) == len(split.graph.node) + 1  # two graphs are one
    with pytest.raises(BundleError, match=r"com\.example"):
        graphs.check("m", merged)


def test_a_file_that_would_take_long_or_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    many = b"\x08\x01" * 1000
    with pytest.raises(BundleError, match="no graph with an output"):
        graphs.check("m", many)
    monkeypatch.setattr(graphs, "MOST_FIELDS", 999)
    with pytest.raises(BundleError, match="more than 999 fields"):
        graphs.check("m", many)
    monkeypatch.setattr(graphs, "LARGEST", 100)
    with pytest.raises(BundleError, match=r"has [\d,]+ bytes, and the limit is 100"):
        graphs.check("m", made())


def test_the_walk_sees_what_the_package_onnx_sees() -> None:
    assert len(SHIPPED) == 9
    for file in SHIPPED:
        model = onnx.load(file)
        constants = {one.name for one in model.graph.initializer}
        found = graphs.check(file.name, file.read_bytes())
        assert found.outputs == tuple(one.name for one in model.graph.output)
        assert found.inputs == tuple(one.name for one in model.graph.input if one.name not in constants)
        used = {one.op_type for one in model.graph.node if one.domain == "com.microsoft"}
        assert used <= graphs.CONTRIBUTED
    fields = {
        "_MODEL_": onnx.ModelProto, "_GRAPH_": onnx.GraphProto, "_NODE_": onnx.NodeProto,
        "_ATTRIBUTE_": onnx.AttributeProto, "_TENSOR_": onnx.TensorProto, "_VALUE_": onnx.ValueInfoProto,
    }  # fmt: skip
    names = {
        "_MODEL_TRAINING": "training_info", "_MODEL_FUNCTION": "functions", "_MODEL_OPSET": "opset_import",
        "_GRAPH_TENSOR": "initializer", "_GRAPH_SPARSE": "sparse_initializer", "_NODE_OPERATOR": "op_type",
        "_ATTRIBUTE_TENSOR": "t", "_TENSOR_SHAPE": "dims", "_TENSOR_TYPE": "data_type", "_TENSOR_RAW": "raw_data",
        "_TENSOR_EXTERNAL": "external_data", "_TENSOR_PLACE": "data_location", "_TENSOR_TEXTS": "string_data",
    }  # fmt: skip
    checked = 0
    for name, number in vars(graphs).items():
        prefix = next((one for one in fields if name.startswith(one)), None)
        if prefix is None or not isinstance(number, int):
            continue
        known = fields[prefix].DESCRIPTOR.fields_by_name
        assert known[names.get(name, name.removeprefix(prefix).lower())].number == number, name
        checked += 1
    assert checked == 24
    attributes, tensors = onnx.AttributeProto.DESCRIPTOR.fields_by_name, TensorProto.DESCRIPTOR.fields_by_name
    assert (attributes["g"].number, attributes["graphs"].number) == graphs._ATTRIBUTE_GRAPHS
    assert (attributes["sparse_tensor"].number, attributes["sparse_tensors"].number) == graphs._ATTRIBUTE_SPARSE
    typed = {one.number for name, one in tensors.items() if name.endswith("_data") and name[0] in "fidu"}
    assert {*graphs._TENSOR_TYPED} == typed
    for kind, size in graphs.ITEM_BYTES.items():
        made = np.dtype(helper.tensor_dtype_to_np_dtype(kind)).itemsize
        assert made == size, TensorProto.DataType.Name(kind)


def test_every_part_of_a_graph_may_be_cut_or_changed() -> None:
    """Each byte in turn becomes another one: refused, or read as the package reads it."""
    whole, agreed = made(), 0
    for at, value in itertools.product(range(len(whole)), (0, 0x7F, 0xFF)):
        content = whole[:at] + bytes([value]) + whole[at + 1 :]
        try:
            found = graphs.check("m", content)
        except BundleError:
            continue
        with contextlib.suppress(DecodeError):  # a part that the walk skips
            model = onnx.load_from_string(content)
            assert len(found.outputs) == len(model.graph.output)
            agreed += 1
    assert agreed > 500
    for at in range(len(whole) - 6):  # the last field is the version of the operators
        with pytest.raises(BundleError):
            graphs.check("m", whole[:at])


def test_a_bundle_with_a_refused_graph_does_not_load_even_with_the_right_hash(tmp_path: Path) -> None:
    """Whoever changes a file can write its hash: what a graph may do does not depend on the hash."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "graph", lambda labels: made(REFUSED["a tensor in another file"][0]))
        with pytest.raises(BundleError, match=r"model\.onnx is refused: the values of 'x' are in another file"):
            models.make_bundle(tmp_path / "b")
    assert not (tmp_path / "b" / "bundle.json").exists()
    models.make_bundle(tmp_path / "b")
    file = tmp_path / "b" / "model.onnx"
    bad = made(REFUSED["a domain of one's own"][0])
    described = tmp_path / "b" / "bundle.json"
    before, after = (hashlib.sha256(content).hexdigest() for content in (file.read_bytes(), bad))
    described.write_text(described.read_text("utf-8").replace(before, after), "utf-8")
    file.write_bytes(bad)
    with pytest.raises(BundleError, match=r"operators of the domain 'com\.example'"):
        bundles.load(tmp_path / "b")


def test_a_graph_that_is_replaced_after_loading_is_refused(tmp_path: Path) -> None:
    picture = models.grey(tmp_path / "a.png", 0.5)
    recognizer = Recognizer(models.make_bundle(tmp_path / "b"))
    other = models.make_bundle(tmp_path / "c", tasks=("gender",))
    (tmp_path / "b" / "model.onnx").write_bytes(other.model.read_bytes())
    with pytest.raises(BundleError, match=r"model\.onnx is missing or was changed"):
        recognizer.predict(picture)
    (tmp_path / "b" / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx is missing or was changed"):
        recognizer.predict(picture)


def test_a_graph_that_cannot_be_opened_leaves_standard_output_to_the_results(tmp_path: Path) -> None:
    """ONNX Runtime prints its second attempt there, if the error of the first is one of Python's."""
    with pytest.MonkeyPatch.context() as patch:  # a name that is not UTF-8
        patch.setattr(models, "graph", lambda labels: WHOLE.replace(b"ReduceMean", b"ReduceMea\xff"))
        folder = models.make_bundle(tmp_path / "b").folder
    picture = models.grey(tmp_path / "a.png", 0.5)
    command = (sys.executable, "-m", "voxtrait", "predict", "--model", str(folder), "--format", "jsonl", str(picture))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "model.onnx" in done.stderr and "codec can't decode byte 0xff" in done.stderr


def replaced(folder: Path, old: str, new: str) -> Path:
    file = models.make_bundle(folder).folder / "bundle.json"
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8", "surrogatepass")
    return folder


DEEP = "[" * 100_000 + "]" * 100_000
UNREAL: dict[str, tuple[str, str, str]] = {
    "nested deeply": ('"scores": {}', f'"scores": {DEEP}', "nested too deeply"),
    "a number of many digits": ('"scores": {}', f'"scores": {{"n": {"9" * 10_000}}}', "cannot be read"),
    "an infinite temperature": ('"temperature": 1.0', '"temperature": 1e400', "an invalid gender calibration"),
    "a temperature that is none": ('"temperature": 1.0', '"temperature": NaN', "an invalid gender calibration"),
    "a temperature next to 0": ('"temperature": 1.0', '"temperature": 1e-300', "the gender temperature 1e-300"),
    "evidence that overflows": ('"evidence": 0.0', '"evidence": 1e300', "the gender evidence 1e+300"),
    "scores as a list": ('"scores": {}', '"scores": []', "scores is a list, expected dict"),
    "a name as a number": ('"name": "tiny"', '"name": 7', "name is a int, expected str"),
    "a name that moves the cursor": ('"name": "tiny"', '"name": "\\u001b[2Jtiny"', "printable characters"),
    "half of a surrogate pair": ('"name": "tiny"', '"name": "\\ud800"', "printable characters"),
    "a name without end": ('"name": "tiny"', f'"name": "{"x" * 101}"', "1 to 100 printable characters"),
    "data of texts": ('"corpus": "made up"', '"corpus": "made up"}, "x", {"a": 1', "data has a value that is not"),
    "a transform of a gigabyte": ('"n_fft": 1024', '"n_fft": 1073741824', "Got n_fft 1073741824"),
    "a hash that is none": ('"files": {\n  "model.onnx": "', '"files": {\n  "model.onnx": "0', "its hash differs"),
    "a hash twice": ('"files": {', '"files": {"model.onnx": null, ', "the key 'model.onnx' is there twice"),
}


@pytest.mark.parametrize("kind", UNREAL)
def test_values_that_are_not_real_are_refused(tmp_path: Path, kind: str) -> None:
    old, new, message = UNREAL[kind]
    with pytest.raises(BundleError, match=re.escape(message)):
        bundles.load(replaced(tmp_path, old, new))


def test_files_that_do_not_end_or_are_elsewhere(tmp_path: Path) -> None:
    folder = models.make_bundle(tmp_path / "b").folder
    described, speakers = folder / "bundle.json", folder / "speakers.txt"
    text = described.read_bytes()
    described.write_bytes(text + b" " * 2**20)
    with pytest.raises(BundleError, match=r"bundle\.json is too large\. Expected at most 1,048,576 bytes\."):
        bundles.load(folder)
    described.write_bytes(text)
    for target in ("/dev/zero", "/dev/stdin", "/proc/self/mem", "speakers.txt"):
        speakers.unlink()
        speakers.symlink_to(target)
        with pytest.raises(BundleError, match=r"speakers\.txt (is missing or was changed|cannot be read)"):
            bundles.load(folder)
    speakers.unlink()
    os.mkfifo(speakers)
    with pytest.raises(BundleError, match=r"speakers\.txt is missing or was changed"):
        bundles.load(folder)
    speakers.unlink()
    (tmp_path / "elsewhere").write_bytes(b"")  # as caches of model hubs keep files: a link to the right content
    speakers.symlink_to(tmp_path / "elsewhere")
    assert bundles.load(folder).speakers() == frozenset()
