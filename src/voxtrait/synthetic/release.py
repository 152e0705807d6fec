"""Writes synthetic speech in the layout of Common Voice 17: the same folders, columns, spellings and mp3 files.

::

    <release>/<locale>/validated.tsv          13 columns, tabs, never quoted, sometimes a single quotation mark
                       clip_durations.tsv     clip, duration[ms]
                       clips/common_voice_<locale>_<number>.mp3

Sentences are random and unrelated to the audio. A few speakers have no age or no gender.
"""

import dataclasses
import hashlib
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from voxtrait.errors import OptionError, require
from voxtrait.synthetic.synthesis import speak
from voxtrait.synthetic.voices import Voice

if TYPE_CHECKING:
    import polars as pl

COLUMNS: Final = (
    *("client_id", "path", "sentence_id", "sentence", "sentence_domain", "up_votes", "down_votes"),
    *("age", "gender", "accents", "variant", "locale", "segment"),
)
CLIP_RATE: Final = 32_000  # Hz, as in Common Voice since 2022
_GENDERS: Final = {"female": "female_feminine", "male": "male_masculine"}
_AGES: Final = {"forties": "fourties", "under_ten": ""}  # Common Voice misspells one and has no group below the teens
_OPENINGS: Final = ("The quiet river", "An old clock", "My neighbour's cat", "Every second train", "A paper boat")
_VERBS: Final = ("crosses", "remembers", "sings under", "waits for", "paints")
_ENDINGS: Final = ("the empty market", "a field of snow", "the broken bridge", 'the "blue door', "three small lamps")


def client_id(voice: Voice) -> str:
    """Return the ``client_id`` of a voice: 128 hexadecimal digits, as in Common Voice.

    Examples:
        >>> from voxtrait.synthetic.voices import cohort
        >>> len(client_id(cohort(1, seed=1)[0]))
        128
    """
    return hashlib.sha512(voice.name.encode()).hexdigest()


def write_common_voice(
    folder: str | os.PathLike[str],
    voices: Sequence[Voice],
    clips_per_voice: int,
    seed: int,
    release: str = "cv-corpus-0.1-synthetic",
    locale: str = "en",
    jobs: int = 1,
    *,
    seconds: tuple[float, float] = (3.0, 5.0),
    blank: float = 0.04,
) -> Path:
    """Write a release of synthetic voices.

    The number of a clip depends on the voice, the seed and ``seconds``, so a second call makes only missing clips and
    resumes a killed one.

    Args:
        folder: folder for the release; created if needed.
        voices: the speakers, with different names.
        clips_per_voice: number of clips per voice, 1 or more.
        seed: random seed of clips, sentences and missing labels, 0 or more.
        release: name of the release's folder.
        locale: name of the locale's folder.
        jobs: number of processes.
        seconds: minimum and maximum duration of a clip, in s.
        blank: share of the voices without an age, and of those without a gender, 0 to 1.

    Returns:
        The folder of the release, ``folder/release``.

    Raises:
        OptionError: if a number is out of range, or two voices have the same name.
        MissingExtraError: if Polars, of the extra ``corpus``, is not installed.

    Examples:
        >>> import tempfile
        >>> from voxtrait.synthetic.voices import cohort
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     release = write_common_voice(folder, cohort(2, seed=1), 1, seed=1, seconds=(0.5, 0.6))
        ...     sorted(path.suffix for path in release.rglob("*.*"))
        ['.mp3', '.mp3', '.tsv', '.tsv']
    """
    _check(voices, clips_per_voice, seed, jobs, seconds, blank)
    require("a synthetic release", "corpus", "polars")
    import polars as pl

    release_dir = Path(folder, release)
    clips_dir = release_dir / locale / "clips"
    clips_dir.mkdir(parents=True, exist_ok=True)
    planned = [_plan_voice(voice, clips_per_voice, seed, locale, seconds) for voice in voices]
    _speak_all(voices, planned, clips_dir, jobs)
    rows = _rows(voices, planned, seed, locale, blank)
    table = pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row")
    _write_table(table, clips_dir.with_name("validated.tsv"))
    clips = [clip for plan in planned for clip in plan]
    durations = pl.DataFrame(
        {"clip": [clip[0] for clip in clips], "duration[ms]": [round(1000 * clip[2]) for clip in clips]}
    )
    _write_table(durations, clips_dir.with_name("clip_durations.tsv"))
    return release_dir


Clip = tuple[str, int, float]  # file name, seed of the speech, seconds


def _plan_voice(voice: Voice, n_clips: int, seed: int, locale: str, seconds: tuple[float, float]) -> list[Clip]:
    # six digits: the last ones of a drawn voice depend on the processor, and clips must have the same names everywhere
    traits = [f"{trait:.6g}" if isinstance(trait, float) else trait for trait in dataclasses.astuple(voice)]
    digest = hashlib.sha256(f"{seed} {seconds} {traits}".encode()).digest()
    rng = np.random.default_rng(np.frombuffer(digest, np.uint32))
    clips = []
    for number in range(n_clips):
        length = round(float(rng.uniform(*seconds)), 2)
        name = int.from_bytes(hashlib.sha256(digest + number.to_bytes(4)).digest()[:6])
        clips.append((f"common_voice_{locale}_{name}.mp3", int(rng.integers(2**32)), length))
    return clips


def _speak_all(voices: Sequence[Voice], planned: Sequence[list[Clip]], clips_dir: Path, jobs: int) -> None:
    if jobs == 1 or len(voices) == 1 or all((clips_dir / name).exists() for plan in planned for name, _, _ in plan):
        for voice, plan in zip(voices, planned, strict=True):
            _write_clips(voice, plan, clips_dir)
        return
    # spawn, not fork: a forked child would inherit dead threads and locks of Polars
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_write_clips, voices, planned, repeat(clips_dir), chunksize=4))


def _write_clips(voice: Voice, plan: list[Clip], clips_dir: Path) -> None:
    import soundfile

    for name, seed, seconds in plan:
        clip = clips_dir / name
        if clip.exists():
            continue
        part = clip.with_name(f".{name}.{os.getpid()}.part")  # a clip gets its name only when it is complete
        try:
            soundfile.write(
                part, speak(voice, seconds, seed, CLIP_RATE), CLIP_RATE, format="MP3", subtype="MPEG_LAYER_III"
            )
            part.replace(clip)
        finally:
            part.unlink(missing_ok=True)


def _rows(
    voices: Sequence[Voice], planned: Sequence[list[Clip]], seed: int, locale: str, blank: float
) -> Iterator[tuple[str, ...]]:
    rng = np.random.default_rng([seed, len(voices)])
    for voice, plan in zip(voices, planned, strict=True):
        no_age, no_gender = rng.random(2) < blank
        age = "" if no_age else _AGES.get(voice.age_group, voice.age_group)
        gender = "" if no_gender else _GENDERS[voice.gender]
        for name, _, _ in plan:
            words = (_OPENINGS[rng.integers(5)], _VERBS[rng.integers(5)], _ENDINGS[rng.integers(5)])
            sentence = f"{' '.join(words)} {rng.integers(2, 1000)} times."
            sentence_id = hashlib.sha256(sentence.encode()).hexdigest()
            yield (client_id(voice), name, sentence_id, sentence, "", "2", "0", age, gender, "", "", locale, "")


def _write_table(table: "pl.DataFrame", path: Path) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        table.write_csv(part, separator="\t", quote_style="never")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _check(
    voices: Sequence[Voice], n_clips: int, seed: int, jobs: int, seconds: tuple[float, float], blank: float
) -> None:
    if not voices or len({voice.name for voice in voices}) != len(voices):
        names = len({voice.name for voice in voices})
        raise OptionError(f"Got voices: {len(voices)}, different names: {names}. Expected one name per voice.")
    if n_clips < 1 or jobs < 1 or seed < 0:
        raise OptionError(
            f"Got {n_clips} for clips per voice, {jobs} for jobs, {seed} for the seed. Expected at least 1, 1 and 0."
        )
    if not 0.1 <= seconds[0] <= seconds[1] <= 60:
        raise OptionError(
            f"Got clips of {seconds[0]} to {seconds[1]} s. Expected minimum and maximum, from 0.1 to 60 s."
        )
    if not 0 <= blank <= 1:
        raise OptionError(f"Got a share of {blank} missing labels. Expected 0 to 1.")
