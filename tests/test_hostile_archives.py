"""Archives that mean no good: names that lead out, links, devices, and files that swell."""

import errno
import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from voxtrait.corpora import archives, import_corpora
from voxtrait.errors import CorpusError

HEAD = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent\tlocale\tsegment\n"
ROW = f"{'a' * 128}\tcommon_voice_en_1.mp3\tHello\t2\t0\ttwenties\tfemale\t\ten\t\n"
TABLE = (HEAD + ROW).encode()
ROOT = "cv-corpus-0.1/en"


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    found = tarfile.TarInfo(name)
    found.size, found.type, found.linkname = len(content), kind, link
    return found, content


def tar(path: Path, members: Iterable[tuple[tarfile.TarInfo, bytes]], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as made:  # type: ignore[call-overload]
        for found, content in members:
            made.addfile(found, io.BytesIO(content))
    return path


GOOD = member(f"{ROOT}/validated.tsv", TABLE)


def test_names_that_lead_out_links_and_devices_are_ignored(tmp_path: Path) -> None:
    secret = tmp_path / "secret.tsv"
    secret.write_text(HEAD + ROW.replace("Hello", "SECRET"))
    path = tar(
        tmp_path / "cv-corpus-0.1.tar.gz",
        [
            member("../evil.tsv", TABLE),
            member(f"{tmp_path}/evil.tsv", TABLE),
            member(f"{ROOT}/../../../evil.tsv", TABLE),
            member(f"{ROOT}/train.tsv", kind=tarfile.SYMTYPE, link=str(secret)),
            member(f"{ROOT}/dev.tsv", kind=tarfile.LNKTYPE, link=str(secret)),
            member(f"{ROOT}/out", kind=tarfile.SYMTYPE, link=str(tmp_path)),
            member(f"{ROOT}/out/evil.tsv", TABLE),  # through the link, if it were made
            member(f"{ROOT}/test.tsv", kind=tarfile.CHRTYPE),
            member(f"{ROOT}/other.tsv", kind=tarfile.FIFOTYPE),
            GOOD,
        ],
    )
    with archives.opened(path) as found:
        below = sorted(
            file.relative_to(found.tables).as_posix() for file in found.tables.rglob("*") if not file.is_dir()
        )
        assert below == ["cv-corpus-0.1/en/out/evil.tsv", f"{ROOT}/validated.tsv"]
        assert not any(file.is_symlink() for file in found.tables.rglob("*"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cv-corpus-0.1.tar.gz", "secret.tsv"]
    result = import_corpora([path])
    assert result.table["sentence"].to_list() == ["Hello"]


def test_a_zip_with_such_names(tmp_path: Path) -> None:
    path = tmp_path / "cv-corpus-0.1.zip"
    with zipfile.ZipFile(path, "w") as made:
        for name in (
            "../evil.tsv",
            "/evil.tsv",
            f"{ROOT}/../../evil.tsv",
            "C:/evil.tsv",
            "..\\evil.tsv",
            f"{ROOT}/validated.tsv",
        ):
            made.writestr(name, TABLE)
        link = zipfile.ZipInfo(f"{ROOT}/train.tsv")
        link.external_attr = 0o120777 << 16  # a symbolic link, whose content is its target
        made.writestr(link, "/etc/passwd")
    with archives.opened(path) as found:
        assert not any(file.is_symlink() for file in found.tables.rglob("*"))
    assert not list(tmp_path.glob("**/evil.tsv"))
    assert import_corpora([path]).table.height == 1


def swelling_table(folder: Path) -> Path:
    return tar(folder / "a.tar.gz", [GOOD, member(f"{ROOT}/other.tsv", bytes(3_000_000))])


def swelling_clip(folder: Path) -> Path:
    return tar(folder / "a.tar.gz", [GOOD, member(f"{ROOT}/clips/a.mp3", bytes(3_000_000))])


def swelling_nothing(folder: Path) -> Path:
    """A file that is neither a table nor a clip: an archive in the archive, for example."""
    return tar(folder / "a.tar.xz", [GOOD, member(f"{ROOT}/b.tar.xz", bytes(3_000_000))], "w:xz")


def swelling_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(f"{ROOT}/validated.tsv", TABLE + b"\n" * 3_000_000)
    return folder / "a.zip"


def lying_zip(folder: Path) -> Path:
    """It states 0 bytes, in the directory and before the content."""
    data = bytearray(swelling_zip(folder).read_bytes())
    size = (len(TABLE) + 3_000_000).to_bytes(4, "little")
    assert data.count(size) == 2
    (folder / "a.zip").write_bytes(bytes(data).replace(size, bytes(4)))
    return folder / "a.zip"


def million_tables(folder: Path) -> Path:
    return tar(folder / "a.tar.gz", [GOOD, *(member(f"{ROOT}/{at}.tsv") for at in range(30))])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (swelling_table, "expands to more than"),
        (swelling_clip, "expands to more than"),
        (swelling_nothing, "expands to more than"),
        (swelling_zip, "expands to more than"),
        (lying_zip, "is truncated or damaged"),
        (million_tables, "has more than 20 tables"),
    ],
)
def test_an_archive_that_swells_ends_at_a_limit(
    make: Callable[[Path], Path], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MOST_MORE", 100_000)
    monkeypatch.setattr(archives, "MOST_TABLES", 20)
    tar(tmp_path / "good.tar.gz", [GOOD])
    assert import_corpora([tmp_path / "good.tar.gz"]).table.height == 1
    with pytest.raises(CorpusError, match=message):
        import_corpora([make(tmp_path)])


def pax(name: str, size: int) -> bytes:
    """The header of details of a member, which states a size that is not there."""
    found = tarfile.TarInfo(name)
    found.size, found.type = size, tarfile.XHDTYPE
    return found.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pax("x", 1 << 33), "a header has 8,589,934,592 bytes"),
        (pax("x", 300) + b"29 GNU.sparse.realsize=9x\n".ljust(512, b"\0"), "is truncated or damaged"),
        (
            tarfile.TarInfo("a/" * 49 + "x").tobuf(tarfile.GNU_FORMAT).replace(b"0\0", b"L\0", 1) * 3,
            "is truncated or damaged",
        ),
        (member(f"{ROOT}/a.tsv/b.tsv", TABLE)[0].tobuf() + TABLE[:10], "is truncated or damaged"),
    ],
)
def test_headers_that_lie_are_one_clear_error(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(content + b"x"))
    with pytest.raises(CorpusError, match=message):
        import_corpora([path])


def test_headers_nested_a_thousand_times(tmp_path: Path) -> None:
    long = tarfile.TarInfo("././@LongLink")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 1
    path = tmp_path / "a.tar"
    path.write_bytes((long.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")) * 3000)
    with pytest.raises(CorpusError, match="is truncated or damaged"):
        import_corpora([path])


def test_members_that_cannot_be_files(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", [member("a.tsv", TABLE), member("a.tsv/b.tsv", TABLE)], "w")
    with pytest.raises(CorpusError, match=r"the member 'b\.tsv' has an impossible name"):
        import_corpora([path])
    path = tar(tmp_path / "b.tar", [member(f"{'x' * 300}/validated.tsv", TABLE)], "w")
    with pytest.raises(CorpusError, match="has an impossible name"):
        import_corpora([path])


def test_an_encrypted_zip_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("validated.tsv", TABLE)
    data = bytearray(path.read_bytes())
    for sign, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(sign) + at] |= 1
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=r"a\.zip is encrypted\. Unpack it first"):
        import_corpora([path])


def test_a_full_disk_is_not_a_damaged_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tar(tmp_path / "a.tar", [GOOD], "w")

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(archives._Room, "copy", full)
    with pytest.raises(OSError, match="No space left"):
        import_corpora([path])
