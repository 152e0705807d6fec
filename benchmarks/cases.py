"""``make cases``: runs the cases from public bug reports in ../shared/cases; exit status 1 if one fails.

    make cases                                            # or CASES=FOLDER make cases
    python benchmarks/cases.py ../shared/cases 04 16      # only some cases

Each case follows its how.txt, on a copy of the inputs in a temporary folder, and prints one line. The tests of the
package have similar cases with generated inputs.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import soundfile
from PIL import Image

import voxtrait

VOXTRAIT: Final = [sys.executable, "-m", "voxtrait"]
Done = subprocess.CompletedProcess[bytes]


class WrongError(Exception):
    """A case fails."""


def run(*args: str | bytes, expect: int = 0, **environment: str) -> Done:
    """Run a command in this folder, and check its exit status and that it prints no traceback."""
    done = subprocess.run([*VOXTRAIT, *args], capture_output=True, env=os.environ | environment)
    shown = " ".join(os.fsdecode(arg) for arg in args)
    check(b"Traceback" not in done.stderr, f"{shown}: a traceback, {done.stderr[-200:]!r}")
    check(done.returncode == expect, f"{shown}: status {done.returncode}, expected {expect}: {done.stderr[-200:]!r}")
    return done


def check(right: bool, wrong: str) -> None:
    """Fail the case with a message if a condition is false."""
    if not right:
        raise WrongError(wrong)


def rows_of(*args: str | bytes, expect: int = 0) -> list[dict[str, Any]]:
    """Run predict, and return the predictions."""
    return [json.loads(line) for line in run("predict", *args, "--format", "jsonl", expect=expect).stdout.splitlines()]


def listened(file: str) -> dict[str, Any]:
    """Send a file to ``listen`` through a pipe, and return the last prediction."""
    with Path(file).open("rb") as content:
        done = subprocess.run([*VOXTRAIT, "listen", "-", "--format", "jsonl"], stdin=content, capture_output=True)
    check(done.returncode == 0, f"listen - < {file}: status {done.returncode}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def name_not_utf8() -> str:
    subprocess.run([sys.executable, "make.py"], check=True)
    rows = rows_of("in")
    check([row["status"] for row in rows] == ["ok"] * 3, f"statuses {[row['status'] for row in rows]}")
    run("convert", "in", "out")
    run("images", "in", "pics")
    run("predict", "in", "--out", "x.parquet")
    check(pl.read_parquet("x.parquet")["status"].to_list() == ["ok"] * 3, "x.parquet")
    counts = [len(list(Path(folder).glob(f"*.{ending}"))) for folder, ending in (("out", "wav"), ("pics", "png"))]
    check(counts == [3, 3], f"files of convert, images: {counts}")
    (odd,) = (file.name for file in Path("in").iterdir() if "\udce9" in file.name)
    check(voxtrait.load().predict(f"in/{odd}").status == "ok", "model.predict")
    return f"3 of 3 by predict, convert, images, --out and Python; shown as {rows[1]['path']}"


def aac_named_mp3() -> str:
    rows = [*rows_of("aac_named.mp3"), *rows_of("raw.aac")]
    for row in rows:
        check(row["gender"] == "female" and abs(row["duration_s"] - 4) < 0.2, str(row))
    run("convert", ".", "out")
    lengths = [soundfile.info(str(file)).duration for file in Path("out").glob("*.wav")]
    check(len(lengths) == 2 and all(abs(length - 4) < 0.2 for length in lengths), f"convert: {lengths}")
    check(abs(listened("raw.aac")["p_female"] - rows[1]["p_female"]) < 0.01, "listen")
    return f"female, p {rows[1]['p_female']:.2f}, by predict and listen; convert: {lengths[0]:.2f} s"


def linked_folders() -> str:
    Path("store").mkdir()
    shutil.copy("ok.mp3", "store")
    for link in ("in/data", "cls/male", "in/loop"):
        Path(link).parent.mkdir(exist_ok=True)
        Path(link).symlink_to("../in" if link == "in/loop" else "../store")
    check(len(rows_of("in")) == 1, "predict")
    run("corpus", "import", "cls", "out.csv")
    table = pl.read_csv("out.csv")
    check(table["gender"].to_list() == ["male"], "import")
    return "followed once, in spite of a loop; class folders too"


def data_size_zero() -> str:
    (row,) = rows_of("data0.wav")
    run("convert", ".", "out")
    heard = listened("data0.wav")
    check(row["gender"] == heard["gender"] == "female", f"{row['gender']}, {heard['gender']}")
    check(abs(row["p_female"] - heard["p_female"]) < 0.01, "predict and listen differ")
    check(abs(soundfile.info("out/data0.wav").duration - 4) < 0.01, "convert")
    return f"female, {row['duration_s']} s, by predict, convert and listen"


def pictures(folder: str, count: int, ending: str = ".png") -> None:
    """Write images of noise to a class folder."""
    rng = np.random.default_rng(len(folder))
    Path(folder).mkdir(parents=True, exist_ok=True)
    for at in range(count):
        picture = Image.fromarray(rng.integers(0, 255, (288, 432), np.uint8))
        picture.save(Path(folder, f"{at}{ending}"))


def one_bad_picture() -> str:
    for split in ("train", "validation", "test"):
        for gender in ("female", "male"):
            pictures(f"data/{split}/gender/{gender}", 4)
    for name in ("broken.png", "zero.png"):
        shutil.copy(name, "data/train/gender/female")
    done = run("train", "diary-gender", "--data", "data", "--out", "run", "--set", "max_epochs=1")
    check(b"broken.png" in done.stderr and b"zero.png" in done.stderr, f"not named: {done.stderr[-300:]!r}")
    return "both named and skipped, the run continued"


def class_folders_of_keras() -> str:
    for split in ("train", "validation"):
        for gender in ("female", "male"):
            pictures(f"pictures/{split}/{gender}", 4)
    run("train", "diary-gender", "--data", "pictures", "--out", "run", "--set", "max_epochs=1")
    return "read: train/female, validation/male"


def custom_split_folder() -> str:
    done = run("corpus", "import", ".", "out.csv")
    table = pl.read_csv("out.csv")
    check(table.height == 3 and table["split"].null_count() == 1, str(table["split"].to_list()))
    check(b"custom" in done.stderr, "not reported")
    return "3 rows, custom/ without a split, and reported"


def stdout_not_utf8() -> str:
    shutil.copy("ok.mp3", "语音.mp3")
    for coding in ("cp1252", "cp437", "cp932", "latin-1", "ascii", "utf-8"):
        for args in (["--help"], ["语音.mp3"], ["语音.mp3", "--format", "csv"], ["语音.mp3", "--format", "json"]):
            out = run(*args, PYTHONIOENCODING=coding).stdout
            if args[-1] == "json":
                check(json.loads(out.decode(coding))["path"] == "语音.mp3", f"JSON in {coding}")
    return "6 encodings x help, text, csv, json: no traceback; JSON has the name"


def long_names() -> str:
    Path("in").mkdir()
    for name in ("语" * 81 + ".mp3", "a" * 251 + ".mp3"):
        shutil.copy("../16-stdout-not-utf8/ok.mp3", f"in/{name}")
    done = run("convert", "in", "out")
    check(len(list(Path("out").glob("*.wav"))) == 2, "convert")
    check(b"Exception ignored" not in done.stderr, "noise")
    run("images", "in", "pics")
    run("predict", "in", "--out", f"{'x' * 247}.parquet")
    return "names of 247 and 255 bytes by convert, images and --out"


def disk_full() -> str:
    shutil.copytree("../16-stdout-not-utf8", "in")
    lines = set()
    for kib in range(4, 65, 4):
        limited = f"import resource as r, runpy, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); \
r.setrlimit(r.RLIMIT_FSIZE, ({kib} * 256, {kib} * 256)); runpy.run_module('voxtrait', run_name='__main__')"
        done = subprocess.run([sys.executable, "-c", limited, "predict", "in", "--out", "x.parquet", "-q"],
                              capture_output=True)  # fmt: skip
        check(b"Traceback" not in done.stderr, f"{kib} KiB / 4: {done.stderr[-300:]!r}")
        lines.add((done.returncode, done.stderr.decode().strip().rpartition("(")[2].rstrip(")")))
        Path("x.parquet").unlink(missing_ok=True)
    check(any(status for status, _ in lines), "no limit was met")
    run("predict", "in", "--out", "x.parquet")
    return f"16 limits: {sorted(lines)}; then it works"


def vbr_without_xing() -> str:
    run("corpus", "import", ".", "out.csv")
    seconds = pl.read_csv("out.csv")["duration_s"][0]
    check(abs(seconds - 4) < 0.1, f"{seconds} s")
    return f"{seconds:.2f} s"


def endings_not_searched() -> str:
    Path("notes.docx").write_bytes(b"x")
    done = run("predict", ".", "--format", "jsonl")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    check([row["status"] for row in rows] == ["ok"] * 2, str(rows))
    check(b"skipped" in done.stderr, f"not reported: {done.stderr!r}")
    return "x.3gp and sph.sph read; the other files counted"


def words_for_unknown() -> str:
    run("corpus", "import", ".", "out.csv")
    genders = pl.read_csv("out.csv")["gender"].to_list()
    check(genders == ["male", "female", *[None] * 6, "female", "male"], str(genders))
    return "6 words are null, woman and man are read"


def all_rows_unreadable() -> str:
    done = run("corpus", "import", ".", "out.csv", expect=2)
    check(b"UTF-8" in done.stderr and b"validated.tsv:2" in done.stderr, done.stderr.decode())
    return done.stderr.decode().strip().splitlines()[-1][:100]


def python_usage() -> str:
    clip = "../16-stdout-not-utf8/ok.mp3"
    model = voxtrait.load()
    (one,) = model.predict_many(clip)
    content = Path(clip).read_bytes()
    with Path(clip).open("rb") as file:
        answers = [one, model.predict(file), model.predict(content)]
    signal = np.zeros(16_000, np.float32)
    check({answer.p_female for answer in answers} == {one.p_female}, "answers differ")
    check(model.predict((16_000, signal)).status == "no_speech", "Gradio's pair")
    said = []
    for wrong in (lambda: model.predict([clip, clip]), lambda: model.predict(signal, sampling_rate="16000")):
        try:
            wrong()
        except (TypeError, ValueError) as error:
            said.append(str(error))
    check(len(said) == 2 and "predict_many" in said[0] and "16000" in said[1], str(said))
    return "a path, an open file, bytes and a pair work; errors about a list and a rate as text name the value"


def dc_offset() -> str:
    plain, rate = soundfile.read("without.wav")
    soundfile.write("dc_0.9.wav", plain * 0.1 + 0.9, rate)
    soundfile.write("plus_5.wav", plain + 5, rate, subtype="FLOAT")
    rows = rows_of("without.wav", "dc_0.5.wav", "dc_0.9.wav", "plus_5.wav")
    check(len({row["gender"] for row in rows}) == 1, str([row["gender"] for row in rows]))
    years = [row["age_years"] for row in rows]
    check(max(years) - min(years) < 2, f"ages {years}")
    return (
        f"{rows[0]['gender']} p {[round(row['p_female'], 2) for row in rows]}, ages {[round(one, 1) for one in years]}"
    )


CASES: Final[dict[str, Callable[[], str]]] = {
    "01-name-not-utf8": name_not_utf8,
    "04-aac-named-mp3": aac_named_mp3,
    "07-linked-folders": linked_folders,
    "08-data-size-zero": data_size_zero,
    "12-one-bad-picture": one_bad_picture,
    "13-class-folders-of-keras": class_folders_of_keras,
    "15-custom-split-folder": custom_split_folder,
    "16-stdout-not-utf8": stdout_not_utf8,
    "17-long-names": long_names,
    "18-disk-full": disk_full,
    "19-vbr-without-xing": vbr_without_xing,
    "20-endings-not-searched": endings_not_searched,
    "21-words-for-unknown": words_for_unknown,
    "22-all-rows-unreadable": all_rows_unreadable,
    "23-python-usage": python_usage,
    "24-dc-offset": dc_offset,
}


def main(folder: Path, chosen: list[str]) -> int:
    """Run the cases, print one line for each, and return the exit status."""
    if not folder.is_dir():
        print(f"No folder {folder}. Pass the folder of the cases: CASES=FOLDER make cases")
        return 2
    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        for name in CASES:
            shutil.copytree(folder / name, Path(place, name))
            for file in [Path(place, name), *Path(place, name).rglob("*")]:
                file.chmod(0o755 if file.is_dir() else 0o644)
        for name, case in CASES.items():
            if chosen and name[:2] not in chosen:
                continue
            os.chdir(Path(place, name))
            start = time.perf_counter()
            try:
                said = "right  " + case()
            except WrongError as error:
                wrong, said = wrong + 1, f"WRONG  {error}"
            print(f"{name:26}{time.perf_counter() - start:6.1f} s  {said}", flush=True)
        os.chdir("/")
    print(f"{len(CASES) if not chosen else len(chosen)} cases, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/cases").resolve()
    sys.exit(main(where, sys.argv[2:]))
