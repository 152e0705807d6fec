"""Makes reference/bundle.md: the files of a bundle and the keys of bundle.json, from the class that reads them."""

from collections.abc import Iterator

from generators.fields import class_fields, constant_keys, markdown, page, prose, table
from voxtrait import bundle
from voxtrait.bundle import folder
from voxtrait.features import front_end


def lines() -> Iterator[str]:
    """Yield the lines of the page."""
    yield from page(
        "Bundle format",
        "A bundle is a folder with one trained model and everything that is needed to use it. It is data, never code. "
        "`voxtrait train` writes one to `RUN/bundle`. `--model FOLDER` and `voxtrait.load(FOLDER)` use it.",
    )
    yield from ("", "## Files", "")
    yield from table(
        ("file", "content"),
        (
            *((f"`{one.name}`", one.meaning) for one in constant_keys(folder, "FILES")),
            ("`bundle.json`", "Everything else: the keys below. It is written last."),
        ),
    )
    yield ""
    yield from prose(
        "Loading checks everything. A missing or unknown key, a label out of order, or a file whose SHA-256 is not the "
        "one in `files` is an error. `speakers.txt` has 16 hexadecimal digits a line: BLAKE2b with 8 bytes of the "
        f"speaker id (`voxtrait.bundle.hash_speaker`; `speaker-1` gives `{bundle.hash_speaker('speaker-1')}`). "
        "`voxtrait evaluate` uses it to refuse speakers of the training."
    )
    yield from ("", "## bundle.json", "")
    yield from table(
        ("key", "meaning"),
        (
            *(
                (f"`{one.name}`", markdown(one.meaning))
                for one in class_fields(folder, "Bundle")
                if one.name != "folder"
            ),
            ("`format`", f"Version of this format: {bundle.FORMAT}. {formats()}"),
            ("`files`", "SHA-256 of each file, by name."),
        ),
    )
    for task in bundle.TASKS:
        yield from ("", f"## calibration: {task}", "")
        rows = ((f"`{one.name}`", one.meaning) for one in constant_keys(folder, "CALIBRATION", task))
        yield from table(("key", "meaning"), rows)
    yield from ("", "## Front end", "")
    yield from prose(
        "Defaults are those of the spectrogram images. `fit` selects the kind of bundle: `windows` for a speaker "
        "encoder, else a classifier of images."
    )
    yield ""
    yield from table(
        ("key", "default", "meaning"),
        ((f"`{one.name}`", f"`{one.default}`", markdown(one.meaning)) for one in class_fields(front_end, "FrontEnd")),
    )


def formats() -> str:
    """Say which formats can be loaded."""
    images, windows = (" and ".join(map(str, bundle.FORMATS[kind])) for kind in ("pictures", "windows"))
    return f"Formats that can be loaded: {images} for classifiers of images, {windows} for speaker encoders."
