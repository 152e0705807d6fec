"""Reads and writes the settings of a derived folder, so that files with different settings are never mixed."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from voxtrait import storage
from voxtrait.audio.writing import atomic_path, create_folder, remove_unfinished
from voxtrait.errors import OptionError

CONVERT_SETTINGS: Final = "convert.json"
PICTURES_SETTINGS: Final = "pictures.json"
_UNFINISHED: Final = "overwriting"  # key in the settings while files of older settings may still be there


def read_settings(out_dir: str | os.PathLike[str], name: str) -> dict[str, Any] | None:
    """Read the settings of a derived folder; ``None`` if it has none.

    Raises:
        OptionError: if the settings cannot be read.
    """
    file = storage.join(storage.text_of(storage.shown(os.fspath(out_dir))), name)
    try:
        at = storage.join(os.fspath(out_dir), name)
        settings = json.loads(storage.read(at) if storage.is_url(at) else Path(at).read_text(encoding="utf-8"))
    except FileNotFoundError:  # also AudioMissingError
        return None
    except (ValueError, OSError, RecursionError) as error:
        raise OptionError(f"{file} cannot be read ({error}). Delete the folder, or pass --overwrite.") from None
    if not isinstance(settings, dict):
        raise OptionError(f"{file} is not a settings file. Delete the folder, or pass --overwrite.")
    return settings


def claim(out_dir: str | os.PathLike[str], name: str, settings: Mapping[str, Any], *, overwrite: bool = False) -> bool:
    """Create a derived folder, or check that an existing one has the same settings.

    Unfinished files of an interrupted run are removed.

    Returns:
        Whether all files must be made again, with ``overwrite`` or after an interrupted run with ``overwrite``.

    Raises:
        OptionError: if the folder has other settings; the message names each difference.
    """
    folder = storage.text_of(storage.shown(os.fspath(out_dir)))
    if not storage.is_url(out_dir):
        create_folder(out_dir)
    before = None if overwrite else read_settings(out_dir, name)
    again = overwrite or bool(before and before.get(_UNFINISHED))
    if before is not None:
        flat_before, flat_now = _flat({key: before[key] for key in before if key != _UNFINISHED}), _flat(settings)
        differences = [
            f"{key}: {flat_before.get(key)} before, {flat_now.get(key)} now"
            for key in sorted(flat_before.keys() | flat_now.keys())
            if flat_before.get(key) != flat_now.get(key)
        ]
        if differences:
            raise OptionError(
                f"{folder} has other settings ({'; '.join(differences)}). Use another folder, or pass --overwrite."
            )
    if not storage.is_url(out_dir):  # files of a store are always complete
        remove_unfinished(out_dir)
    now = {**settings, _UNFINISHED: True} if again else settings
    if now != before:
        _write_settings(out_dir, name, now)
    return again


def remove_what_crashed(out_dir: str | os.PathLike[str], n_failed: int) -> None:
    """Remove unfinished files of workers that were killed in this run; a run without failures has none."""
    if n_failed and not storage.is_url(out_dir):
        remove_unfinished(out_dir)


def finished(out_dir: str | os.PathLike[str], name: str, settings: Mapping[str, Any]) -> None:
    """Record that all files in a derived folder have these settings."""
    _write_settings(out_dir, name, settings)


def _write_settings(out_dir: str | os.PathLike[str], name: str, settings: Mapping[str, Any]) -> None:
    with atomic_path(storage.join(os.fspath(out_dir), name)) as part:
        part.write_text(json.dumps(settings, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten nested settings, so that each difference is named by its innermost key."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat.update(_flat(value) if isinstance(value, Mapping) else {key: value})
    return flat
