"""Finds ids with several speakers and speakers with several ids, by the likeness of speaker embeddings.

Two embeddings are compared by their cosine, normalised by the cohort of each side (adaptive symmetric score
normalisation: P. Matějka et al., "Analysis of score normalization in multilingual speaker recognition", Interspeech
2017). The likeness is the number of standard deviations between the cosine and the mean cosine to the nearest 2.5 % of
a cohort of other ids of the same manifest, averaged over both sides. The cosine alone rates all children of one school,
and all callers on one line, as similar. docs/notes/audit.md has the measured thresholds. Another encoder has other
cosines: the threshold 0.354 of Y. Zhang et al. (Interspeech 2025) for VoxCeleb and Common Voice does not apply here.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from voxtrait.audit.embeddings import ClipEmbeddings
from voxtrait.audit.heads import Bools, Floats, Whole, chunks

Reals = npt.NDArray[np.float32]

COHORT: Final = 2000  # ids in the cohort
NEAREST: Final = (0.025, 10)  # share of the cohort that normalises, and minimum number: 50 of 2,000
SKIPPED: Final = 2  # nearest ids left out: they may be the same speaker under another id
FEWEST: Final = 100  # ids below which the cohort is too small to normalise by
SAME: Final = 5.0  # likeness from which two ids are listed as possibly one speaker
SAME_DESPITE: Final = 6.0  # … where their gender labels differ
APART: Final = {2: -5.0, 3: -5.0, 4: -2.0}  # clips of an id → likeness of its two groups below which it is listed
NEAR: Final = 0.4  # cosine below which a pair is skipped: 99 % of same-speaker pairs are above, 98 % of all below
SAMPLE: Final = 60  # clips of an id that are compared with each other at most
_BLOCK: Final = 2048  # ids compared at a time
_TOGETHER: Final = 512  # ids whose groups are compared at a time


@dataclasses.dataclass(frozen=True)
class Voices:
    """Mean embeddings of ids.

    Attributes:
        vectors: ``(ids, d)``, mean of the clips, of length 1.
        counts: ``(ids,)``, clips with an embedding.
        cohort: ids that normalise the likeness.
    """

    vectors: Reals
    counts: Whole
    cohort: Whole

    def standing(self, vectors: Reals, owners: Whole, batch: int = 1024) -> tuple[Floats, Floats]:
        """Compute mean and standard deviation of the cosines to the nearest ids of the cohort.

        Args:
            vectors: ``(n, d)`` of length 1.
            owners: ``(n,)``, id of each vector, which is excluded from its own cohort.
            batch: vectors at a time.

        Returns:
            Mean and standard deviation, ``(n,)`` each.
        """
        others = self.vectors[self.cohort]
        few = max(round(NEAREST[0] * len(others)), NEAREST[1])
        mean, spread = np.zeros(len(vectors)), np.ones(len(vectors))
        for at in range(0, len(vectors), batch):
            near = vectors[at : at + batch] @ others.T
            near[owners[at : at + batch, None] == self.cohort[None]] = -1
            top = np.partition(near, -few - SKIPPED, axis=1)[:, -few - SKIPPED :]
            top = np.sort(top, axis=1)[:, :few].astype(np.float64)
            mean[at : at + batch], spread[at : at + batch] = top.mean(axis=1), np.maximum(top.std(axis=1), 1e-3)
        return mean, spread


def pool(embedded: ClipEmbeddings, person: Whole, ids: int, seed: int = 0) -> Voices:
    """Compute the mean embedding of each id.

    Args:
        embedded: the embeddings.
        person: ``(clips,)``, number of the id of each clip, -1 without an id.
        ids: number of ids.
        seed: random seed of the cohort.

    Examples:
        >>> clips = np.eye(3, 256, dtype=np.float16)
        >>> pooled = pool(ClipEmbeddings(pl.DataFrame(), clips, np.array([True, True, False])), np.array([1, 1, 0]), 2)
        >>> pooled.counts.tolist(), np.round(pooled.vectors[1, :3].astype(float), 2).tolist()
        ([0, 2], [0.71, 0.71, 0.0])
    """
    from scipy.sparse import csr_array

    total, counts = np.zeros((ids, embedded.embeddings.shape[1]), np.float32), np.zeros(ids, np.int64)
    for some in chunks(len(person)):
        rows = some[embedded.has[some] & (person[some] >= 0)]
        where, at = np.unique(person[rows], return_inverse=True)
        sums = csr_array((np.ones(len(rows), np.float32), (at, np.arange(len(rows)))), (len(where), len(rows)))
        total[where] += sums @ embedded.rows(rows)
        counts += np.bincount(person[rows], minlength=ids)
    voiced = np.flatnonzero(counts)
    cohort = np.random.default_rng(seed).permutation(voiced)[:COHORT]
    return Voices(_unit(total), counts, np.sort(cohort))


def mixed(embedded: ClipEmbeddings, person: Whole, voices: Voices, seed: int = 0) -> pl.DataFrame:
    """Find ids whose clips form two groups that are no more similar than different speakers.

    The groups come from average linkage over the cosine. For an id with many clips, the clip least similar to the
    others is also tried as a group.

    Args:
        embedded: the embeddings.
        person: see :func:`pool`.
        voices: the result of :func:`pool`.
        seed: random seed of the sample of an id with very many clips.

    Returns:
        ``speaker likeness cosine n_clips others``, lowest likeness first; ``others`` are the rows of the smaller
        group.
    """
    rows = np.flatnonzero(embedded.has & (person >= 0))
    rows = rows[np.argsort(person[rows], kind="stable")]
    owners, first, counts = np.unique(person[rows], return_index=True, return_counts=True)
    several = np.flatnonzero(counts > 1)
    found: list[dict[str, Any]] = []
    rng = np.random.default_rng(seed)
    for at in range(0, len(several), _TOGETHER):
        halves: list[tuple[int, int, float, Whole]] = []
        sides: list[Reals] = []
        for k in several[at : at + _TOGETHER]:
            clips = rows[first[k] : first[k] + counts[k]]
            x = embedded.rows(clips)
            for lesser in _partings(x, rng):
                a, b = (_unit(x[side].mean(axis=0)[None])[0] for side in (~lesser, lesser))
                halves.append((int(owners[k]), int(counts[k]), float(a @ b), clips[lesser]))
                sides += [a, b]
        whose = np.repeat([half[0] for half in halves], 2)
        mean, spread = voices.standing(np.array(sides), whose)
        cosine = np.repeat([half[2] for half in halves], 2)
        likeness = ((cosine - mean) / spread).reshape(-1, 2).mean(axis=1)
        for (owner, n, near, clips), value in zip(halves, likeness, strict=True):
            if value < APART[min(n, max(APART))]:
                found.append({"speaker": owner, "likeness": value, "cosine": near, "n_clips": n, "others": clips})
    listed = [one | {"others": one["others"].tolist()} for one in found]
    table = pl.DataFrame(listed, schema=no_mixed().schema)
    return table.sort("likeness", maintain_order=True).unique("speaker", keep="first", maintain_order=True)


def same(
    voices: Voices,
    female: Floats,
    most: int,
    *,
    progress: Callable[[Iterator[int], int], Iterator[int]] = lambda blocks, n: blocks,
) -> pl.DataFrame:
    """Find pairs of ids that sound like one speaker.

    All pairs are compared, in blocks. Time grows with the square of the number of ids (100,000 ids take minutes);
    memory does not.

    Args:
        voices: the result of :func:`pool`.
        female: ``(ids,)``, 1, 0, or NaN. The threshold is higher for ids with different labels.
        most: maximum number of pairs.
        progress: wraps the numbers of the blocks.

    Returns:
        ``speaker other likeness cosine``, highest likeness first.
    """
    here = np.flatnonzero(voices.counts)
    x = voices.vectors[here]
    mean, spread = voices.standing(x, here)
    gender = female[here]
    kept = np.zeros((0, 4))
    starts = range(0, len(here), _BLOCK)
    for at in progress(iter(starts), len(starts)):
        rows = slice(at, at + _BLOCK)
        for to in range(at, len(here), _BLOCK):
            near = x[rows] @ x[to : to + _BLOCK].T
            i, j = np.nonzero(near >= NEAR)
            a, b, cosine = i + at, j + to, near[i, j].astype(np.float64)
            likeness = 0.5 * ((cosine - mean[a]) / spread[a] + (cosine - mean[b]) / spread[b])
            differ: Bools = np.abs(gender[a] - gender[b]) == 1  # of NaN: false
            good = (a < b) & (likeness >= np.where(differ, SAME_DESPITE, SAME))
            kept = np.concatenate([kept, np.stack([a, b, likeness, cosine], axis=1)[good]])
        kept = kept[np.argsort(-kept[:, 2], kind="stable")[:most]]
    pairs = kept[:, :2].astype(np.int64)
    return pl.DataFrame(
        {"speaker": here[pairs[:, 0]], "other": here[pairs[:, 1]], "likeness": kept[:, 2], "cosine": kept[:, 3]}
    )


def no_mixed() -> pl.DataFrame:
    """Return the empty result of :func:`mixed`."""
    figures = {"likeness": pl.Float64, "cosine": pl.Float64, "n_clips": pl.Int64}
    return pl.DataFrame(schema={"speaker": pl.Int64, **figures, "others": pl.List(pl.Int64)})


def no_same() -> pl.DataFrame:
    """Return the empty result of :func:`same`."""
    return pl.DataFrame(schema={"speaker": pl.Int64, "other": pl.Int64, "likeness": pl.Float64, "cosine": pl.Float64})


def _partings(x: Reals, rng: np.random.Generator) -> Iterator[Bools]:
    """Yield partitions of the clips of an id, ``(n, d)``, as masks of the smaller group, ``(n,)``."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    n = len(x)
    some = np.arange(n) if n <= SAMPLE else np.sort(rng.permutation(n)[:SAMPLE])
    distance = 1 - np.clip(x[some] @ x[some].T, -1, 1)
    np.fill_diagonal(distance, 0)
    parted = fcluster(linkage(squareform(distance, checks=False), "average"), 2, "maxclust") == 1
    if not parted.any() or parted.all():  # all clips the same
        return
    if n > SAMPLE:
        sides = [_unit(x[some[side]].mean(axis=0)[None])[0] for side in (parted, ~parted)]
        parted = x @ sides[0] > x @ sides[1]
        rest = x.sum(axis=0) - x
        alone = np.arange(n) == np.argmin(np.einsum("ij,ij->i", x, _unit(rest)))
        yield alone
    if parted.any() and not parted.all():
        yield parted if parted.sum() <= n / 2 else ~parted


def _unit(x: Reals) -> Reals:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9), dtype=np.float32)
