"""Checks by pitch, without a model, whether the labels that ``corpus audit`` doubts are wrong.

Counts the speakers whose median pitch contradicts the label: among the most doubted adult speakers (task gender) of a
folder of Common Voice releases, and among as many speakers drawn at random:

    .venv/bin/python benchmarks/audit_pitch.py ../shared/corpora --out /tmp/audit

``--voices`` instead measures the figures of docs/notes/audit.md about voices: the similarity of clips of one person
and of two people, and the number of ids listed at each similarity threshold.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import polars as pl

from voxtrait import audio, batch, corpora, manifest, speech
from voxtrait.audit import audit, voices
from voxtrait.audit.embeddings import ClipEmbeddings
from voxtrait.cli.options import print_table
from voxtrait.training.study.baselines import median_pitch

HIGH, LOW = 185.0, 145.0  # Hz: a pitch above HIGH contradicts the label male, a pitch below LOW the label female
SPEAKERS = 60


def pitch_of(path: str) -> float | None:
    spoken = speech.spoken(audio.load(path)[0])
    return median_pitch(spoken) if len(spoken) > audio.SAMPLING_RATE // 10 else None


def common_voice(folder: Path, out: Path) -> Path:
    sources = [*sorted(folder.glob("cv-corpus-*")), *sorted(folder.glob("cv-6.1-en-more"))]
    table = corpora.import_corpora(sources, tables_only=True).table
    manifest.write(table, out / "common-voice.parquet")
    return out / "common-voice.parquet"


def contradicted(speakers: pl.DataFrame, clips: pl.DataFrame, jobs: int) -> dict[str, object]:
    """Count the speakers whose median pitch over all clips contradicts the label."""
    asked = clips.join(speakers.select("speaker_id", "label"), on="speaker_id")
    found = batch.run(pitch_of, asked["path"].to_list(), jobs=jobs, on_crash=lambda path, why: None)
    pitches = asked.with_columns(hz=pl.Series(list(found), dtype=pl.Float64))
    each = pitches.group_by("speaker_id", "label").agg(pl.col("hz").median()).drop_nulls("hz")
    male, female = pl.col("label") == "male", pl.col("label") == "female"
    wrong = each.filter((male & (pl.col("hz") > HIGH)) | (female & (pl.col("hz") < LOW)))
    men, women = wrong.filter(male).height, wrong.filter(female).height
    return {
        "speakers": speakers.height,
        "with a pitch": each.height,
        f"men above {HIGH:.0f} Hz": men,
        f"women below {LOW:.0f} Hz": women,
        "share": (men + women) / max(speakers.height, 1),
    }


def by_pitch(path: Path, out: Path, jobs: int, seed: int) -> None:
    found = audit(path, out, jobs=jobs, label="audit")
    table = manifest.with_absolute_paths(manifest.read(path), path.parent)
    grown = ~pl.col("age_group").is_in(["under_ten", "teens"]) | pl.col("age_group").is_null()
    adults = table.filter(grown & (pl.col("age_years").is_null() | (pl.col("age_years") >= 18)))
    known = found.speakers.filter(pl.col("task") == "gender").join(adults, on="speaker_id", how="semi")
    once = known.unique("speaker_id", keep="first", maintain_order=True)
    rows = [{"of": f"the {SPEAKERS} most doubted"} | contradicted(once.head(SPEAKERS), table, jobs)]
    drawn = once.sample(SPEAKERS, seed=seed)
    rows.append({"of": f"{SPEAKERS} at random (seed {seed})"} | contradicted(drawn, table, jobs))
    rows.append({"of": "all adults"} | contradicted(once, table, jobs))
    print_table(rows)


def by_voice(path: Path, out: Path, seed: int) -> None:
    """Split the clips of every id at random into halves, and compare halves of the same id and of different ids."""
    table = manifest.read(path).with_columns(place=pl.concat_str("corpus", "locale", separator="/", ignore_nulls=True))
    vectors = np.load(out / "embeddings.npy", mmap_mode="r")
    has = np.linalg.norm(vectors[:].astype(np.float32), axis=1) > 0.5
    heard = ClipEmbeddings(pl.DataFrame(), vectors, has)
    ids = table["speaker_id"].drop_nulls().unique().sort()
    person = table["speaker_id"].replace_strict(ids, range(len(ids)), default=-1, return_dtype=pl.Int64).to_numpy()
    place = table["place"].to_numpy().astype(str)
    gender = table["gender"].fill_null("").to_numpy().astype(str)
    rng = np.random.default_rng(seed)
    half, rows_of = np.full(len(person), -1), []
    for one in range(len(ids)):
        rows = rng.permutation(np.flatnonzero((person == one) & has))
        if len(rows) > 1:
            cut = int(rng.integers(1, len(rows)))
            half[rows[:cut]], half[rows[cut:]] = 2 * len(rows_of), 2 * len(rows_of) + 1
            rows_of.append(rows)
    n = 2 * len(rows_of)
    alone = np.flatnonzero((half < 0) & has & (person >= 0))
    half[alone] = n + np.arange(len(alone))
    pooled = voices.pool(heard, half, n + len(alone), seed)
    a, b = pooled.vectors[0:n:2], pooled.vectors[1:n:2]
    owners = np.arange(0, n, 2)
    (ma, sa), (mb, sb) = pooled.standing(a, owners), pooled.standing(b, owners + 1)
    cosine = a @ b.T
    likeness = 0.5 * ((cosine - ma[:, None]) / sa[:, None] + (cosine - mb[None]) / sb[None])
    first = np.array([rows[0] for rows in rows_of])
    off = ~np.eye(len(first), dtype=bool)
    near = off & (place[first][:, None] == place[first]) & (gender[first][:, None] == gender[first])
    kinds = {"all pairs of people": off, "one corpus, language and gender": near}
    for name, score in (("cosine", cosine), ("likeness", likeness)):
        own, lines = np.diag(score), []
        for kind, which in kinds.items():
            others = score[which]
            line: dict[str, object] = {name: kind, "people": len(own), "pairs": others.size}
            both = np.sort(np.r_[own, others])[:: max(1, others.size // 5000)]
            errors = [abs((own < cut).mean() - (others >= cut).mean()) for cut in both]
            cut = both[int(np.argmin(errors))]
            line["equal error"] = float(((own < cut).mean() + (others >= cut).mean()) / 2)
            for rate in (1e-3, 1e-4, 1e-5):
                cut = float(np.quantile(others, 1 - rate))
                line[f"found at {rate:.0e}"] = f"{(own >= cut).mean():.3f} (≥ {cut:.2f})"
            lines.append(line)
        print_table(lines)
    for cut in (3.0, 4.0, voices.SAME, voices.SAME_DESPITE, 7.0):
        rates = {f"false, {kind}": f"{(likeness[which] >= cut).mean():.1e}" for kind, which in kinds.items()}
        print(f"likeness ≥ {cut}: found {(np.diag(likeness) >= cut).mean():.3f}", rates)
    parted(heard, table, person, place, gender, len(ids), rng)


def parted(  # type: ignore[no-untyped-def]
    heard: ClipEmbeddings, table: pl.DataFrame, person, place, gender, ids: int, rng: np.random.Generator
) -> None:
    """Put clips of a second person of the same corpus, language and gender under an id, for half of the ids."""
    pooled = voices.pool(heard, person, ids)
    several = [np.flatnonzero((person == one) & heard.has) for one in np.flatnonzero(pooled.counts > 1)]
    limit = dict(voices.APART)
    voices.APART.update(dict.fromkeys(limit, np.inf))  # list them all, with their likeness
    honest = voices.mixed(heard, person, pooled)
    for name, take in (("two people, all their clips", None), ("one clip of another", 1)):
        planted = person.copy()
        hosts = []
        order = rng.permutation(len(several)).tolist()
        guests = order[len(order) // 2 :]
        for host in order[: len(order) // 2]:
            here = several[host][0]
            alike = [g for g in guests if place[several[g][0]] == place[here] and gender[several[g][0]] == gender[here]]
            if alike:
                guests.remove(alike[0])
                moved = several[alike[0]][:take]
                planted[moved] = person[here]
                hosts.append((int(person[here]), len(several[host]) + len(moved)))
        found = voices.mixed(heard, planted, voices.pool(heard, planted, ids))
        score = dict(zip(found["speaker"], found["likeness"], strict=True))
        for low, high in ((2, 3), (4, 10_000)):
            own = honest.filter(pl.col("n_clips").is_between(low, high))["likeness"].to_numpy()
            theirs = np.array([score.get(one, np.inf) for one, n in hosts if low <= n <= high])
            for cut in (-5.0, -4.0, -3.0, -2.0, -1.0, 0.0):
                if len(theirs) > 20:
                    what = f"{name}, ids of {low} to {high} clips, likeness < {cut}"
                    honestly = f"listed {(own < cut).mean():.4f} of {len(own)}"
                    print(f"{what}: found {(theirs < cut).mean():.3f} of {len(theirs)}, {honestly}")
    voices.APART.update(limit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path, help="folder of Common Voice releases")
    parser.add_argument("--out", type=Path, required=True, help="folder for the manifest and the audit")
    parser.add_argument("--jobs", type=int, default=2, help="number of processes")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    parser.add_argument("--voices", action="store_true", help="measure similarity of voices instead")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.voices:
        path = asked.out / "all.parquet"
        if not path.is_file():
            folders = [one for one in sorted(asked.speech.iterdir()) if one.is_dir()]
            manifest.write(corpora.import_corpora(folders, tables_only=True).table, path)
            audit(path, asked.out / "all", jobs=asked.jobs, label="audit")
        by_voice(path, asked.out / "all", asked.seed)
    else:
        by_pitch(common_voice(asked.speech, asked.out), asked.out / "common-voice", asked.jobs, asked.seed)


if __name__ == "__main__":
    sys.exit(main())
