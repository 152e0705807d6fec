"""Makes reference/licences.md: the licence of every dependency by extra, and of what the package contains.

The licences are those of release/licences.toml, so the page does not depend on what is installed.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from generators.fields import bullet, page, prose, table

ROOT: Final = Path(__file__).resolve().parents[2]
TABLE: Final = ROOT / "release" / "licences.toml"
PERMISSIVE: Final = "permissive"
FILES: Final = "copyleft by file"
LIBRARY: Final = "copyleft by library"
KINDS: Final = {
    **dict.fromkeys(("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "MIT"), PERMISSIVE),
    **dict.fromkeys(("MIT-0", "MIT-CMU", "OFL-1.1", "PSF-2.0", "Zlib"), PERMISSIVE),
    "MPL-2.0": FILES,
    "LGPL-2.1-or-later": LIBRARY,
}
"""Kind of each licence that occurs."""
CONTAINED: Final = (
    ("voxtrait's code, heads and calibration", "Apache-2.0", "LICENSE"),
    ("speaker encoder CAM++ of 3D-Speaker, changed", "Apache-2.0", "bundles/campplus.NOTICE.txt"),
    ("speech detection: Silero VAD", "MIT", "speech/silero_vad.NOTICE.txt"),
    ("speaker segmentation: pyannote segmentation 3.0, mostly in 8 bits", "MIT", "speech/segmentation.NOTICE.txt"),
    ("font Onest of the web page", "OFL-1.1", "web/page/onest.LICENSE.txt"),
)
"""What the wheel contains, its licence, and the file with the notice."""
NATIVE: Final = (
    ("soxr", "libsoxr", "LGPL-2.1-or-later"),
    ("soundfile", "libsndfile, mpg123, LAME", "LGPL-2.1-or-later, LGPL-2.1-only, LGPL-2.0-or-later"),
    ("numpy, scipy", "OpenBLAS, libgfortran, libquadmath", "BSD-3-Clause, GPL-3.0 with exception, LGPL-2.1-or-later"),
    ("scikit-learn, torch", "libgomp", "GPL-3.0 with exception"),
    ("av", "FFmpeg, configured as LGPL version 3", "LGPL-3.0-or-later"),
    ("av", "x264, x265", "GPL-2.0-or-later"),
    ("av", "LAME, GMP, nettle, GnuTLS, libunistring", "LGPL, some of them LGPL or GPL"),
)
"""Libraries with copyleft inside the wheels of the dependencies for Linux, found in these wheels."""


def lines() -> Iterator[str]:
    """Yield the lines of the page.

    Raises:
        KeyError: if a licence has no kind in ``KINDS``.
    """
    found = tomllib.loads(TABLE.read_text("utf-8"))
    yield from page(
        "Licences",
        "This page lists the licence of everything that voxtrait contains, and of every package that it installs. It "
        "is not legal advice.",
    )
    yield from ("", "## What the package contains", "")
    yield from table(
        ("part", "licence", "notice"),
        ((what, licence, f"`{place}`") for what, licence, place in CONTAINED),
    )
    yield ""
    yield from prose(
        "All of these may be distributed together: the MIT License and the SIL Open Font License only require that "
        "their notices stay with the parts, and the wheel contains every notice. The training data is not in the "
        "package. Its licences (CC0-1.0, CC-BY-4.0, MIT) allow training; CC BY asks for the attribution that is in "
        "each `bundle.json` and in the [data statement](../explanation/data-statement.md)."
    )
    yield from ("", "## Compatibility", "")
    yield from prose(
        "Dependencies are separate packages: pip installs them beside voxtrait, and the wheel of voxtrait contains no "
        "part of them. So each licence binds whoever distributes that package, and voxtrait stays under Apache-2.0:"
    )
    yield ""
    yield from bullet(
        "**Permissive** (MIT, BSD, Apache-2.0, PSF, Zlib, CC0 and similar): compatible. Keep the notices."
    )
    yield from bullet(
        "**Copyleft by file** (MPL-2.0): compatible. Only changed files of that package must be published."
    )
    yield from bullet(
        "**Copyleft by library** (LGPL): compatible, because Python loads the package at run time and a user can "
        "replace it. Whoever ships it in an image or an installer must ship its licence text and offer its source."
    )
    yield from ("", "## Libraries inside wheels of dependencies", "")
    yield from prose(
        "A wheel may contain compiled libraries that the licence in its metadata does not name. These ones are in the "
        "wheels for Linux of the tested versions (`constraints.txt`):"
    )
    yield ""
    yield from table(("package", "library", "licence"), NATIVE)
    yield ""
    yield from bullet(
        "The GCC libraries libgfortran and libgomp have the GCC runtime exception: programs that load them are free."
    )
    yield from bullet(
        "**The wheel of av contains x264 and x265, which are GPL.** voxtrait does not call them, and it does not "
        "contain them. But an image or installer with `[media]` or `[web]` distributes them: its distributor must "
        "fulfil the GPL for them. Apache-2.0 code may be part of such an image under version 3 of the GPL. The light "
        "install has no GPL code beyond the GCC libraries."
    )
    yield from bullet(
        "PyTorch of `[train]` installs libraries of NVIDIA on Linux, under NVIDIA's own licences, unless its build "
        "for the CPU is selected. voxtrait never contains them."
    )
    yield from ("", "## Packages by extra", "")
    yield from prose(
        "Extras list what they install beside the light install, on Linux. `[all]` is the sum of all extras except "
        "`[train]`."
    )
    for extra, names in found["extras"].items():
        yield from ("", f"### {'Light install' if extra == 'light' else f'[{extra}]'}", "")
        yield from table(("package", "licence", "kind"), (_row(name, found["licences"][name]) for name in names))


def _row(name: str, licence: str) -> tuple[str, str, str]:
    return name, licence, " and ".join(sorted(kinds(licence)))


def kinds(licence: str) -> set[str]:
    """Return the kinds of the licences in an SPDX expression; of alternatives, the first one counts."""
    parts = [part.split(" OR ")[0] for part in re.split(r" AND ", licence)]
    return {KINDS[part.removesuffix(" WITH LLVM-exception")] for part in parts}
