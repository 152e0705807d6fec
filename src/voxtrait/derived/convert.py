"""Converts mp3 and other audio files to 16-bit PCM WAV: parallel, resumable, with constant memory."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import polars as pl
import soundfile

from voxtrait import audio, batch, derived, storage
from voxtrait.audio.durability import is_older
from voxtrait.audio.writing import create_folder, synced
from voxtrait.derived import single
from voxtrait.derived.folders import HARMLESS, Outcome, Summary
from voxtrait.derived.settings import CONVERT_SETTINGS
from voxtrait.errors import DiskFullError, OptionError, counted

CHANNELS: Final = ("1", "keep")


def convert(
    source: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    rate: int = audio.SAMPLING_RATE,
    channels: Literal["1", "keep"] | int = "1",
    jobs: batch.Jobs = 1,
    label: str | None = None,
    overwrite: bool = False,
) -> Summary:
    """Convert the clips of a folder or manifest to 16-bit PCM WAV, in the same subfolders of ``out_dir``.

    Complete WAV files from earlier runs are kept, unless their clip has changed since. Each clip that fails gets a row
    in ``out_dir/failures.csv``. Samples above full scale are clipped.

    Args:
        source: a folder (searched recursively), a manifest, a list of files (``.txt``), or an audio file. The source
            and the clips may be paths or URLs.
        out_dir: folder of the WAV files, or its URL; created if it does not exist. For one audio file, it may be the
            name of the WAV file, ending in ``.wav``.
        rate: sampling rate of the WAV files, in Hz, 1000 to 384000.
        channels: ``"1"`` averages the channels, ``"keep"`` keeps them.
        jobs: number of worker processes, or a :class:`voxtrait.batch.Where`.
        label: shown before the progress line on standard error; ``None`` shows no progress.
        overwrite: convert every clip again and overwrite existing files.

    Returns:
        Numbers of clips converted, kept and failed, and the speed.

    Raises:
        NothingToDoError: if the source has no clips.
        OptionError: if an option is out of range, ``out_dir`` has other settings, a WAV file would overwrite its
            source, or another run is writing to ``out_dir``.
        ManifestError: if the source is a table but not a manifest.
        DiskFullError: if the disk is full; the files written so far are kept.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     audio.write_wav(f"{folder}/a.wav", np.zeros((2, 8000), np.float32), 8000)
        ...     summary = convert(folder, f"{folder}/wav")
        >>> summary.done, summary.failed, summary.audio_s
        (1, 0, 1.0)
    """
    if not 1000 <= rate <= 384_000:
        raise OptionError(f"Got a rate of {rate} Hz. Expected 1000 to 384000.")
    if str(channels) not in CHANNELS:
        raise OptionError(f"Got channels {channels!r}. Expected {' or '.join(CHANNELS)}.")
    mono = str(channels) == "1"
    summary = Summary(os.fspath(out_dir))
    if single.names_file(source, out_dir, ".wav"):
        job = _Convert(single.folder_of(out_dir), rate, mono, again=True, sync=True)
        single.make(job, source, out_dir, summary, overwrite=overwrite, jobs=jobs)
        return summary
    out = derived.absolute(out_dir)
    clips = derived.sources(source, out_dir)
    table = clips.table.select("path", target=derived.mirrored_names(clips.table["path"], clips.root, ".wav"))
    in_place = table.filter(table["path"] == f"{storage.text_of(out)}/" + table["target"])
    if in_place.height:
        raise OptionError(f"{in_place['path'][0]} would be overwritten by its own conversion. Write to another folder.")
    settings = {"rate": rate, "channels": str(channels), "source": storage.shown(clips.root)}
    with batch.claimed(out):
        again = derived.claim(out, CONVERT_SETTINGS, settings, overwrite=overwrite)
        job = _Convert(out, rate, mono, again, sync=False)
        if storage.is_url(out):  # one listing, not one request per file: existing files are complete
            there = pl.Series([name for name, entry in storage.listing(out).items() if entry.size], dtype=pl.String)
            table = table.with_columns(there=pl.col("target").is_in(there.implode()))
        with synced(out) as unsynced:
            job = dataclasses.replace(job, since=unsynced.since)
            outcomes = batch.run(job, derived.Rows(table), jobs=jobs, on_crash=single.crashed, label=label)
            derived.gather(unsynced.watch(outcomes), summary)
            derived.remove_what_crashed(out, summary.failed)
        if again:
            derived.finished(out, CONVERT_SETTINGS, settings)
    return summary


@dataclasses.dataclass(frozen=True)
class _Convert:
    """The job: convert one clip, ``(path, target)``; behind a URL ``(path, target, whether it exists)``."""

    out_dir: str
    rate: int
    mono: bool
    again: bool
    sync: bool
    since: int | None = None  # of :class:`voxtrait.audio.durability.Unsynced`

    def __call__(self, item: tuple[str, str] | tuple[str, str, bool]) -> Outcome:
        path, name, *there = item
        target = derived.target_of(self.out_dir, name, path)
        changed = derived.changed_ns(path)
        try:
            if not self.again and (there[0] if there else self._is_kept(Path(target), changed)):
                return Outcome("kept", path)
            if not storage.is_url(target):
                create_folder(Path(target).parent)
            return Outcome("done", path, audio.write_wav_blocks(target, self._parts(path, changed), sync=self.sync))
        except DiskFullError:  # every other file would fail too
            raise
        except HARMLESS as error:
            return Outcome("failed", path, reason=derived.reason_of(error))

    def _parts(self, path: str, changed: int | None) -> Iterator[tuple[audio.Signal, int]]:
        yield from audio.blocks(storage.path_of(path), self.rate, mono=self.mono)
        derived.check_unchanged(path, changed)

    def _is_kept(self, target: Path, changed: int | None) -> bool:
        if not os.path.exists(target) or not _is_whole(target):  # noqa: PTH110 - Path.exists raises for long names
            return False
        status = target.stat()
        if not is_older(status, self.since) or status.st_mtime_ns < (changed or 0):  # the clip was replaced since
            return False
        with target.open("rb") as file:  # opened, not named: libsndfile cannot open every name
            info = soundfile.info(file)
        if info.samplerate != self.rate or (self.mono and info.channels != 1):
            raise OptionError(
                f"{target} exists, with {info.samplerate} Hz and {counted(info.channels, 'channel')}. Expected "
                f"{self.rate} Hz{' mono' if self.mono else ''}. Move it to another folder, or pass --overwrite."
            )
        return True


def _is_whole(wav: Path) -> bool:
    """Return whether a WAV is complete: after a power failure, a file may have its name but not its samples."""
    with wav.open("rb") as file:
        head = file.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"WAVE" and int.from_bytes(head[4:8], "little") + 8 == wav.stat().st_size
