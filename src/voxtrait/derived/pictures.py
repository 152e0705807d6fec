"""Draws clips as spectrogram images in class folders: parallel, resumable, with constant memory.

Files for a manifest::

    OUT_DIR/{train,validation,test,unsplit}/gender/{female,male}/CLIP.png
    OUT_DIR/{train,validation,test,unsplit}/age/{female_fifties,male_fifties,…}/CLIP.png    the same file, hard-linked
    OUT_DIR/pictures.json     settings of the images
    OUT_DIR/manifest.csv      manifest of the images, with speaker ids

For a folder of clips, the images are in the same subfolders of ``OUT_DIR``.
"""

import dataclasses
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import polars as pl

from voxtrait import audio, batch, derived, features, manifest, storage
from voxtrait.audio.durability import is_older
from voxtrait.audio.writing import atomic_path, create_folder, synced
from voxtrait.derived import single
from voxtrait.derived.axes import with_axes
from voxtrait.derived.folders import HARMLESS, Outcome, Rows, Sources
from voxtrait.derived.settings import PICTURES_SETTINGS
from voxtrait.errors import DiskFullError, OptionError
from voxtrait.features import FrontEnd

MANIFEST: Final = "manifest.csv"
_TAIL: Final = b"IEND\xaeB`\x82"  # the end of every whole PNG


@dataclasses.dataclass
class Summary(derived.Summary):
    """Result of :func:`draw`: numbers of images drawn, kept, moved, removed and failed."""

    moved: int = 0  # images moved to the folder of another split or label
    removed: int = 0  # images removed from the folder of an earlier split or label
    unlabelled: int = 0  # clips that are neither ``female`` nor ``male``: not drawn
    unknown: int = 0  # files in the class folders without a clip: kept


def draw(
    source: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    size: tuple[int, int] = features.PICTURE_SIZE,
    fit: features.Fit = "middle",
    front_end: FrontEnd | None = None,
    jobs: batch.Jobs = 1,
    label: str | None = None,
    overwrite: bool = False,
    axes: bool = False,
) -> Summary:
    """Draw the clips of a manifest as spectrogram images in class folders, or those of a folder in the same subfolders.

    Complete images from earlier runs are kept, unless their clip has changed since. If the split or label of a clip has
    changed, its image is moved. Only images of clips in the manifest are moved or removed.

    Args:
        source: a manifest, a folder (searched recursively), a list of files (``.txt``), or an audio file. The source
            and the clips may be paths or URLs.
        out_dir: folder of the images, or its URL; created if it does not exist. For one audio file, it may be the name
            of the image, ending in ``.png``.
        size: width and height, in pixels.
        fit: ``middle`` or ``stretch``: see :func:`voxtrait.features.picture`.
        front_end: all parameters of the spectrogram, instead of ``size`` and ``fit``.
        jobs: number of worker processes, or a :class:`voxtrait.batch.Where`.
        label: shown before the progress line on standard error; ``None`` shows no progress.
        overwrite: draw every image again and overwrite existing files.
        axes: draw for people: see ``voxtrait.derived.axes.with_axes``. Training rejects such images.

    Returns:
        Numbers of images drawn, kept, moved, removed and failed, and the speed.

    Raises:
        NothingToDoError: if the source has no clips.
        OptionError: if an option is out of range, ``out_dir`` has other settings, or another run is writing to it.
        ManifestError: if the source is a table but not a manifest.
        DiskFullError: if the disk is full; the images drawn so far are kept.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     audio.write_wav(f"{folder}/a.wav", np.zeros(8000, np.float32), 8000)
        ...     row = {"path": "a.wav", "gender": "female", "age_group": "fifties", "split": "train"}
        ...     manifest.write(pl.DataFrame([row]), f"{folder}/all.csv")
        ...     summary = draw(f"{folder}/all.csv", f"{folder}/out")
        ...     sorted(path.parent.name for path in Path(folder, "out").rglob("*.png"))
        ['female', 'female_fifties']
        >>> summary.done, summary.kept, summary.failed
        (1, 0, 0)
    """
    start = time.perf_counter()
    front_end = front_end or features.picture_front_end(size, fit=fit)
    summary = Summary(os.fspath(out_dir))
    if single.names_file(source, out_dir, ".png"):
        job = _Draw(single.folder_of(out_dir), front_end, again=True, axes=axes, sync=True)
        single.make(job.alone, source, out_dir, summary, overwrite=overwrite, jobs=jobs)
        return summary
    out = derived.absolute(out_dir)
    clips = derived.sources(source, out_dir)
    with batch.claimed(out):
        _draw_all(clips, out, front_end, summary, overwrite=overwrite, jobs=jobs, label=label, axes=axes)
    summary.elapsed_s = time.perf_counter() - start
    return summary


def _draw_all(
    clips: Sources,
    out: str,
    front_end: FrontEnd,
    summary: Summary,
    *,
    overwrite: bool,
    jobs: batch.Jobs,
    label: str | None,
    axes: bool,
) -> None:
    settings = settings_of(front_end, None if clips.labelled else storage.shown(clips.root), axes=axes)
    again = derived.claim(out, PICTURES_SETTINGS, settings, overwrite=overwrite)
    if clips.labelled:
        wanted = pl.concat([clips.table.select("path"), derived.class_folders(clips.table)], how="horizontal")
        there = derived.find_pictures(out)
        items = _items(wanted, there, known=storage.is_url(out))
        summary.unlabelled = wanted.height - items.height
    else:
        names = derived.mirrored_names(clips.table["path"], clips.root, ".png")
        items = clips.table.select("path", first=names, second=pl.lit(None, pl.String), there=pl.lit(None, pl.String))
        items = items.with_columns(have=_have(items["first"], out))
    with synced(out) as unsynced:
        job = _Draw(out, front_end, again, axes, since=unsynced.since)
        outcomes = batch.run(job, Rows(items), jobs=jobs, on_crash=single.crashed, label=label, unit="clip")
        derived.gather(unsynced.watch(outcomes), summary)
        derived.remove_what_crashed(out, summary.failed)
        if clips.labelled:
            _tidy(out, wanted, there, summary)
    if clips.labelled:
        _write_manifest(out, clips.table, summary)
    if again:
        derived.finished(out, PICTURES_SETTINGS, settings)


def settings_of(front_end: FrontEnd, source: str | None = None, *, axes: bool = False) -> dict[str, Any]:
    """Return the content of ``pictures.json`` for images drawn with a front end.

    ``shrink`` is 1: it affects the input of a network, not the image. Only images with axes have the key ``axes``.
    """
    layout = {"layout": "classes"} if source is None else {"layout": "flat", "source": source}
    more = {"axes": True} if axes else {}
    return {**layout, **more, "front_end": dataclasses.replace(front_end, shrink=1).to_dict()}


def front_end_of(out_dir: str | os.PathLike[str]) -> FrontEnd:
    """Read the front end of the images in a folder, for training.

    Raises:
        OptionError: if the folder has no readable ``pictures.json``, or its images have axes.
        BundleError: if the front end has another version.
    """
    settings = derived.read_settings(out_dir, PICTURES_SETTINGS)
    if settings is None or not isinstance(settings.get("front_end"), dict):
        raise OptionError(f"{out_dir} has no {PICTURES_SETTINGS}. Expected a folder written by 'voxtrait images'.")
    if settings.get("axes"):
        raise OptionError(
            f"{out_dir} has images with axes, written with --axes. Training expects images without axes. Run 'voxtrait "
            "images' without --axes, with another folder."
        )
    return FrontEnd.from_dict(settings["front_end"])


def _items(wanted: pl.DataFrame, there: pl.DataFrame, *, known: bool) -> pl.DataFrame:
    """Return the rows of the job: source, one or two target paths, and an existing path if any.

    If the listing contains only complete files (``known``), also all existing paths.
    """
    every = pl.col("at") + "/" + pl.col("name")
    places = there.group_by("name").agg(pl.col("at").min(), have=every)
    labelled = wanted.filter(pl.col("gender_at").is_not_null())
    items = labelled.join(places, on="name", how="left", maintain_order="left")
    return items.select(
        "path",
        first=pl.col("gender_at") + "/" + pl.col("name"),
        second=pl.col("age_at") + "/" + pl.col("name"),
        there=pl.col("at") + "/" + pl.col("name"),
        have=pl.col("have").fill_null([]) if known else pl.lit(None, pl.List(pl.String)),
    )


def _have(names: pl.Series, out: str) -> pl.Series:
    """Return, for each image of a flat folder, a list of its name if it exists; null if the disk must be checked."""
    if not storage.is_url(out):
        return pl.Series([None] * len(names), dtype=pl.List(pl.String))
    there = {name for name, entry in storage.listing(out).items() if entry.size}
    return pl.Series([[name] if name in there else [] for name in names], dtype=pl.List(pl.String))


@dataclasses.dataclass(frozen=True)
class _Draw:
    """The job: draw one clip, ``(path, first, second, there, have)``, as one image under one or two names."""

    out_dir: str
    front_end: FrontEnd
    again: bool
    axes: bool = False
    sync: bool = False
    since: int | None = None  # of :class:`voxtrait.audio.durability.Unsynced`

    def __call__(self, item: tuple[str, str, str | None, str | None, list[str] | None]) -> Outcome:
        path, first, second, there, have = item
        try:
            targets = [at for at in (first, second) if at]
            known = [*targets, *([there] if there else [])]
            changed = derived.changed_ns(path)
            whole = None if self.again else next((at for at in known if self._is_there(at, have, path, changed)), None)
            seconds = 0.0
            if whole is None:
                seconds = self._draw(path, targets[0], changed)
                whole, status = targets[0], "done"
            else:
                status = "kept" if whole in targets else "moved"
            for target in targets:
                if target != whole and (status == "done" or not self._is_there(target, have, path, changed)):
                    self._link(whole, target)
            return Outcome(status, path, seconds)
        except DiskFullError:  # every other clip would fail too
            raise
        except HARMLESS as error:
            return Outcome("failed", path, reason=derived.reason_of(error))

    def alone(self, item: tuple[str, str]) -> Outcome:
        """Draw one clip under one name."""
        return self((*item, None, None, None))

    def _is_there(self, at: str, have: list[str] | None, path: str, changed: int | None) -> bool:
        if have is not None:
            return at in have
        return _is_whole(Path(derived.target_of(self.out_dir, at, path)), self.since, changed)

    def _draw(self, path: str, at: str, changed: int | None) -> float:
        target = derived.target_of(self.out_dir, at, path)
        signal, rate = audio.load(storage.path_of(path), self.front_end.sampling_rate)
        derived.check_unchanged(path, changed)
        if self.axes:
            png = with_axes(signal, rate, self.front_end, storage.text_of(Path(storage.shown(path)).name))
        else:
            png = features.encode_png(features.picture(signal, rate, front_end=self.front_end))
        if storage.is_url(target):
            storage.write(target, png)
            return len(signal) / rate
        create_folder(Path(target).parent)
        with atomic_path(target, sync=self.sync) as part:
            part.write_bytes(png)
        return len(signal) / rate

    def _link(self, whole: str, at: str) -> None:
        if storage.is_url(self.out_dir):
            storage.copy(storage.join(self.out_dir, whole), storage.join(self.out_dir, at))
        else:
            _link(Path(self.out_dir, whole), Path(self.out_dir, at))


def _link(file: Path, target: Path) -> None:
    """Give an image a second name, or copy it if the disk has no hard links."""
    create_folder(target.parent)
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(file)
    except OSError:
        with atomic_path(target, sync=False) as part:
            shutil.copyfile(file, part)


def _is_whole(png: Path, since: int | None, changed: int | None) -> bool:
    try:
        with png.open("rb") as file:
            status = os.fstat(file.fileno())
            if not is_older(status, since) or status.st_mtime_ns < (changed or 0):  # the clip was replaced since
                return False
            file.seek(-len(_TAIL), os.SEEK_END)
            return file.read() == _TAIL
    except OSError:  # missing, or shorter than the tail
        return False


def _tidy(out: str, wanted: pl.DataFrame, there: pl.DataFrame, summary: Summary) -> None:
    """Remove images from the folders of earlier splits and labels, and class folders that are then empty."""
    wrong = there.join(derived.places_of(wanted), on=["at", "name"], how="anti")
    stale = wrong.join(wanted, on="name", how="semi")
    summary.removed, summary.unknown = stale.height, wrong.height - stale.height
    if storage.is_url(out):  # a store has no empty folders
        storage.remove([storage.join(out, f"{at}/{name}") for at, name in stale.iter_rows()])
        return
    for at, name in stale.iter_rows():
        Path(out, at, name).unlink(missing_ok=True)
    for at, names in list(derived.walk_class_folders(out)):
        if not names:
            folder = Path(storage.path_of(f"{out}/{at}"))
            while folder != Path(out) and not any(folder.iterdir()):
                folder.rmdir()
                folder = folder.parent


def _write_manifest(out: str, table: pl.DataFrame, summary: Summary) -> None:
    """Write a manifest of the images: the rows of the clips, with the paths of the images."""
    failed = pl.Series([row["path"] for row in summary.failures()], dtype=pl.String)
    places = derived.class_folders(table)
    drawn = table.with_columns(path=places["gender_at"] + "/" + places["name"]).filter(
        places["gender_at"].is_not_null() & ~derived.shown(table["path"]).is_in(failed.implode())
    )
    kept = [name for name in (*manifest.SCHEMA, manifest.SPLIT_UNIT) if name in drawn.columns and name != "sentence"]
    target = storage.join(out, MANIFEST)
    if not storage.is_url(target):
        manifest.write(drawn.select(kept), target)
        return
    with tempfile.TemporaryDirectory(prefix="voxtrait-") as folder:
        manifest.write(drawn.select(kept), Path(folder, MANIFEST))
        storage.write(target, Path(folder, MANIFEST).read_bytes(), unless_same=True)
