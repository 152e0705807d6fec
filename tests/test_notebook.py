"""The Colab notebook: kept without outputs, and run from top to bottom on made-up voices."""

import json
import os
import re
import sys
import tarfile
from pathlib import Path

import nbformat
import pytest

from factories import tiny_release

NOTEBOOK = Path(__file__).resolve().parent.parent / "examples" / "colab.ipynb"
PARAMETERS = """
ARCHIVE, RESULTS, SCRATCH = "release.tar.gz", "my results", "scratch"
OPTIONS = "--set max_epochs={epochs} --set min_speakers=1 --set channels=[4,4] --set hidden=4 --quiet --jobs 1"
"""
CHECKED = "assert globals().get('_exit_code', 0) == 0, 'a command of this cell failed'"


def read() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def test_it_is_valid_and_holds_no_output() -> None:
    notebook = read()
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.source for cell in code if cell.outputs or cell.execution_count is not None] == []
    assert [cell.source for cell in notebook.cells if len(cell.source.splitlines()) > 23] == []
    ids = [cell.id for cell in notebook.cells]
    assert len(ids) == len(set(ids))


def test_it_is_written_as_json_that_diffs_well() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"


def test_one_cell_holds_the_parameters() -> None:
    tagged = [cell for cell in read().cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    names: dict[str, object] = {}
    exec(tagged[0].source, names)
    assert {"ARCHIVE", "RESULTS", "SCRATCH", "OPTIONS"} <= set(names)


def run(folder: Path, epochs: int, cells: slice = slice(None)) -> nbformat.NotebookNode:
    """Run the notebook in ``folder``, with small settings and an assertion on every shell command."""
    from nbclient import NotebookClient

    notebook = read()
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"][cells]
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = PARAMETERS.format(epochs=epochs)
        elif "!" in cell.source:
            lines = cell.source.splitlines()
            cell.source = "\n".join(f"{line}\n{CHECKED}" if line.startswith("!") else line for line in lines)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def texts(cell: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


def pictures(cell: nbformat.NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell.outputs)


@pytest.mark.slow
def test_it_runs_on_made_up_voices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    release = tiny_release(tmp_path / "made", speakers=42, clips=1)
    with tarfile.open(tmp_path / "release.tar.gz", "w:gz") as archive:
        archive.add(release, release.name)

    notebook = run(tmp_path, epochs=1)
    cells = {cell.source.splitlines()[0]: cell for cell in notebook.cells}
    print("\n".join(texts(cell) for cell in notebook.cells))
    assert pictures(cells["from IPython.display import Image, display"]) == 1
    assert pictures(cells['for gender in ("female", "male"):']) == 4
    for task in ("gender", "age"):
        run_folder = tmp_path / "my results" / task
        assert (run_folder / "bundle" / "bundle.json").is_file()
        assert len((run_folder / "curves.csv").read_text().splitlines()) == 2
    assert json.loads((tmp_path / "my results/report/report.json").read_text())["split"] == "test"
    assert re.search(r"recording\.wav  (female|unsure) \(p(_female)? \d\.\d\d\)  \d+ years", texts(notebook.cells[2]))
    gender, age = texts(notebook.cells[-1]).splitlines()
    assert re.search(r"recording\.wav  (female|male|unsure) \(p(_female)? 0\.\d\d\)", gender)
    assert re.search(r"recording\.wav  \d+ years \(\d+–\d+\)", age)


def test_the_first_three_cells_predict() -> None:
    cells = [cell.source for cell in read().cells if cell.cell_type == "code"][:3]
    assert "%pip install" in cells[0] and "MediaRecorder" in cells[1]
    assert cells[2] == '!voxtrait "{recording}"'
