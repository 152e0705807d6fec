"""Compares two bundles on the same clips: difference of their errors, with 95 % intervals over speakers.

python benchmarks/paired.py REPORT OTHER MANIFEST

REPORT and OTHER are folders that `voxtrait evaluate` wrote; MANIFEST is the manifest of both evaluations.
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl

from voxtrait import manifest
from voxtrait.labels import AGE_GROUPS, AGE_MIDDLES

ROUNDS = 4000


def answers(report: Path) -> pl.DataFrame:
    return pl.read_csv(report / "predictions.csv", infer_schema_length=None).select(
        "clip_id",
        "true_gender",
        years=pl.coalesce(
            pl.col("true_age_years").cast(pl.Float64),
            pl.col("true_age_group").replace_strict(AGE_GROUPS, AGE_MIDDLES, default=None, return_dtype=pl.Float64),
        ),
        p_female=pl.col("p_female").cast(pl.Float64),
        age_years=pl.col("age_years").cast(pl.Float64),
    )


def show(what: str, first: pl.Expr, second: pl.Expr, rows: pl.DataFrame, *, percent: bool = False) -> None:
    """Print the mean of both, and their difference over clips and over speakers."""
    kept = rows.select("speaker", a=first.cast(pl.Float64), b=second.cast(pl.Float64)).drop_nulls()
    each = kept.group_by("speaker", maintain_order=True).agg(
        pl.len().alias("n"), (pl.col("b") - pl.col("a")).sum().alias("d")
    )
    n, d = each["n"].to_numpy().astype(float), each["d"].to_numpy()
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(n), (ROUNDS, len(n)))
    by_clip, by_speaker = d[drawn].sum(1) / n[drawn].sum(1), (d / n)[drawn].mean(1)
    scale, digits = (100, 1) if percent else (1, 2)

    def said(value: float, values: np.ndarray) -> str:
        low, high = np.quantile(values, [0.025, 0.975])
        return f"{scale * value:+.{digits}f} ({scale * low:+.{digits}f} to {scale * high:+.{digits}f})"

    means = (f"{scale * kept[name].mean():.{digits}f}" for name in "ab")
    cells = [what, f"{kept.height:,}", *means, said(d.sum() / n.sum(), by_clip), said((d / n).mean(), by_speaker)]
    print(f"| {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, what in (
        ("report", "folder of the first report"),
        ("other", "folder of the second"),
        ("manifest", "evaluated manifest"),
    ):
        parser.add_argument(name, type=Path, help=what)
    given = parser.parse_args()
    speakers = manifest.read(given.manifest).select("clip_id", speaker=pl.coalesce("speaker_id", "clip_id"))
    rows = answers(given.report).join(answers(given.other), on="clip_id", suffix="_other").join(speakers, on="clip_id")
    print("| | clips | first | second | difference over clips | over speakers |\n|---|---|---|---|---|---|")
    error, other = ((pl.col(f"age_years{end}") - pl.col("years")).abs() for end in ("", "_other"))
    show("age, years of error", error, other, rows)
    for gender in ("female", "male"):
        own = rows.filter(pl.col("true_gender") == gender)
        right, right_other = ((pl.col(f"p_female{end}") >= 0.5) == (gender == "female") for end in ("", "_other"))
        show(f"{gender}, % right", right, right_other, own, percent=True)


if __name__ == "__main__":
    main()
