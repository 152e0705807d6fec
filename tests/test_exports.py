"""What a package exports is what it says it exports."""

import ast
import importlib
import sys

import pytest

import voxtrait
from test_architecture import modules

PACKAGES = [name for name, file in modules().items() if file.name == "__init__.py" and name != "voxtrait"]


def public_names(package: str) -> set[str]:
    """What an ``__init__`` defines, or takes from its own modules, under a name without underscore."""
    found = set()
    body = ast.parse(modules()[package].read_text(encoding="utf-8")).body
    typed = [node for node in body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    for node in [*body, *(inner for one in typed for inner in one.body)]:  # a lazy package imports them for types
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}."):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return {name for name in found if not name.startswith("_")}


@pytest.mark.parametrize("package", [name for name in PACKAGES if name not in ("voxtrait.cli", "voxtrait.training")])
def test_packages_export_what_is_public(package: str) -> None:
    exported = getattr(importlib.import_module(package), "__all__", [])  # some are nothing but a folder
    assert len(exported) == len(set(exported))
    assert set(exported) == public_names(package)


def test_the_root_exports_in_order_and_lazily() -> None:
    assert voxtrait.__all__ == sorted(voxtrait.__all__)
    assert dir(voxtrait) == voxtrait.__all__
    for name in voxtrait.__all__:
        assert getattr(voxtrait, name) is not None
    assert {"Prediction", "Recognizer", "VoxtraitError", "features", "load"} <= set(voxtrait.__all__)


def test_names_that_are_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'voxtrait' has no attribute 'nothing'"):
        _ = voxtrait.nothing


def test_the_version_is_the_installed_one() -> None:
    from importlib.metadata import version

    assert voxtrait.__version__ == version("voxtrait")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("convert", "derived.convert"), ("corpora.agender", "corpora.layouts.agender"),
        ("decision", "recognize.decision"), ("funnel", "manifest.funnel"),
        ("intake", "audio.streams"), ("metrics", "evaluate.metrics"), ("naming", "manifest.naming"),
        ("pictures", "derived.pictures"), ("shards", "derived.shards"), ("splitting", "manifest.splitting"),
    ],
)  # fmt: skip
def test_former_module_paths_work_with_a_warning(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, f"voxtrait.{old}", raising=False)
    package, _, name = f"voxtrait.{old}".rpartition(".")
    parent = importlib.import_module(package)
    monkeypatch.delattr(parent, name, raising=False)
    with pytest.warns(DeprecationWarning, match=f"voxtrait.{old} is now voxtrait.{new}: import it from there"):
        found = importlib.import_module(f"voxtrait.{old}")
    assert found is importlib.import_module(f"voxtrait.{new}")
    monkeypatch.delattr(parent, name)
    monkeypatch.delitem(sys.modules, f"voxtrait.{old}")
    with pytest.warns(DeprecationWarning, match="import it from there"):
        exec(f"from {package} import {name}", {})
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("voxtrait.nothing")
