"""Makes reference/prediction.md: the fields of a prediction, with an example made by the default bundle."""

import csv
import functools
import io
import json
from collections.abc import Iterator
from typing import Any

from generators.fields import class_fields, markdown, page, prose, row_of, split_null, table
from voxtrait import recognize, synthetic
from voxtrait.labels import AGE_GROUPS
from voxtrait.recognize import SHORTEST_S, prediction

STATUSES = {
    "ok": "The fields from `gender` to `age_groups` have values.",
    "no_speech": "No speech was found.",
    "too_short": f"There is less than {SHORTEST_S} s of speech.",
    "error": "The file could not be used. Exit status 1.",
}


def lines() -> Iterator[str]:
    """Yield the lines of the page."""
    yield from page(
        "Prediction fields",
        "`voxtrait predict`, `model.predict` and `POST /v1/predict` return these fields, in this order. JSON has one "
        "object for each file. CSV has the same columns without `age_groups`, and null is an empty field.",
        "Seconds and years have 2 decimals, probabilities have 4.",
    )
    yield ""
    yield from table(
        ("field", "type", "meaning", "null"),
        (row_of(field) for field in class_fields(prediction, "Prediction") if field.name in prediction.FIELDS),
    )
    yield ""
    yield from prose(
        "Fields of a task that the bundle does not predict are null too. `predictions.csv` of an evaluation also has "
        + " and ".join(
            f"`{one.name}` ({markdown(split_null(one.meaning)[0]).rstrip('.').lower().replace('db', 'dB')})"
            for one in class_fields(prediction, "Prediction")
            if one.name in prediction.UNPRINTED
        )
        + "."
    )
    yield from ("", "## Statuses", "")
    yield from table(("`status`", "meaning"), ((f"`{name}`", text) for name, text in STATUSES.items()))
    yield ""
    yield from prose(
        "`no_speech`, `too_short` and `unsure` are results, not failures. Each status but `ok` has its reason in "
        "`message`."
    )
    yield from ("", "## Age groups", "")
    yield from prose(f"{', '.join(f'`{group}`' for group in AGE_GROUPS)}.")
    yield from ("", "## Example", "")
    yield from prose("A synthetic voice, for which the estimates have no meaning, and a clip of silence:")
    first, second = examples()
    yield from ("", "```json", json.dumps([first, second], ensure_ascii=False, indent=1), "```", "")
    yield from prose("The same as CSV:")
    out = io.StringIO()
    writer = csv.DictWriter(out, prediction.CSV_FIELDS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows([first, second])
    yield from ("", "```text", out.getvalue().rstrip(), "```")


@functools.cache
def examples() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the predictions of the default bundle for a synthetic voice and for silence."""
    import numpy as np

    model = recognize.load()
    signal = synthetic.speak(synthetic.draw_voice("male", 34, seed=6), 8.0, seed=6)
    found = []
    for name, sound in (("clip.mp3", signal), ("silence.mp3", np.zeros(32_000, np.float32))):
        found.append(model.predict(sound, sampling_rate=16_000).to_dict() | {"path": name})
    return found[0], found[1]
