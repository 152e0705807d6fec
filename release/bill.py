"""Writes the bill of materials of the light install: build/dist/sbom.cdx.json (CycloneDX).

python release/bill.py [--out build/dist] [--python NAME]

The components are the dependencies that pip installs in a fresh environment, in the versions of constraints.txt, and
the weights and the font that the wheel contains, with their hashes. It is made twice, and both must be equal.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import packages
import pythons

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "voxtrait"
CONTAINED = (
    ("CAM++ of 3D-Speaker, in 8 bits", "machine-learning-model", "Apache-2.0", "bundles/voxtrait-base/model.onnx"),
    ("heads of voxtrait-base", "machine-learning-model", "Apache-2.0", "bundles/voxtrait-base/head.onnx"),
    ("a smaller network fitted to CAM++", "machine-learning-model", "Apache-2.0", "bundles/voxtrait-fast/model.onnx"),
    ("heads of voxtrait-fast", "machine-learning-model", "Apache-2.0", "bundles/voxtrait-fast/head.onnx"),
    ("voxtrait-diary", "machine-learning-model", "Apache-2.0", "bundles/voxtrait-diary/model.onnx"),
    ("Silero VAD", "machine-learning-model", "MIT", "speech/silero_vad_16k_spectra.onnx"),
    ("quick speech detector", "machine-learning-model", "Apache-2.0", "speech/quick_16k.onnx"),
    ("pyannote segmentation, filters", "machine-learning-model", "MIT", "speech/segmentation_filters_16k.onnx"),
    ("pyannote segmentation 3.0, mostly in 8 bits", "machine-learning-model", "MIT", "speech/segmentation_16k.onnx"),
    ("Onest, Latin", "data", "OFL-1.1", "web/page/onest-latin.woff2"),
    ("Onest, Cyrillic", "data", "OFL-1.1", "web/page/onest-cyrillic.woff2"),
    ("Onest, for plots", "data", "OFL-1.1", "palette/onest.ttf"),
)
"""Name, CycloneDX type, licence and file of every part of the wheel that is neither code nor text."""


def contained() -> Iterator[dict[str, Any]]:
    """Yield a component for each part of the wheel."""
    for name, kind, licence, place in CONTAINED:
        digest = hashlib.sha256((SOURCE / place).read_bytes()).hexdigest()
        yield {
            "bom-ref": f"voxtrait/{place}",
            "type": kind,
            "name": name,
            "licenses": [{"license": {"id": licence}}],
            "hashes": [{"alg": "SHA-256", "content": digest}],
            "properties": [{"name": "voxtrait:file", "value": f"voxtrait/{place}"}],
        }


def bill(python: pythons.Python, work: Path) -> str:
    """Install the dependencies, and nothing else, into a fresh environment and describe them."""
    tools = pythons.environment(python, work / "tools")
    pythons.pip(tools, "-r", ROOT / "release" / "requirements.txt")
    subprocess.run([python.command, "-m", "venv", "--without-pip", work / "light"], check=True)
    runs = work / "light" / "bin" / "python"
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    more = os.environ.get("PIP_ARGS", "").split()
    install = [tools, "-m", "pip", "--python", runs, "install", "--quiet", *more, "-c", ROOT / "constraints.txt"]
    subprocess.run([*install, *needed], check=True)
    subprocess.run([tools, "-m", "pip", "--python", runs, "check"], check=True, stdout=subprocess.DEVNULL)
    options = ["--output-reproducible", "--short-PURLs", "--mc-type", "library", "--pyproject", ROOT / "pyproject.toml"]
    command = [tools.with_name("cyclonedx-py"), "environment", *options, runs]
    epoch = str(packages.epoch((ROOT / "CHANGELOG.md").read_text("utf-8")))
    environment = os.environ | {"SOURCE_DATE_EPOCH": epoch}
    made = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    made["components"] += contained()
    text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
    validate = "import sys; from cyclonedx.validation.json import JsonStrictValidator as V; " \
        "from cyclonedx.schema import SchemaVersion as S; e = V(S.V1_6).validate_str(sys.stdin.read()); " \
        "sys.exit(str(e) if e else 0)"  # fmt: skip
    subprocess.run([tools, "-c", validate], input=text, check=True, text=True)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the bill of materials of the light install.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "dist", help="folder for the result")
    parser.add_argument("--python", metavar="NAME", default=sys.executable, help="interpreter")
    arguments = parser.parse_args()
    (python,) = pythons.found([arguments.python])
    texts = []
    for _ in range(2):
        with tempfile.TemporaryDirectory(prefix="voxtrait-bill-") as name:
            texts.append(bill(python, Path(name)))
    if texts[0] != texts[1]:
        sys.exit("Two bills of materials differ. Expected the same bytes.")
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "sbom.cdx.json"
    file.write_text(texts[0], "utf-8")
    print(f"{file}: {len(json.loads(texts[0])['components'])} components, the same bytes twice")


if __name__ == "__main__":
    main()
