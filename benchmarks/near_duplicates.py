"""Near-duplicates: recall of copies, false alarms, and time and memory up to a million clips.

python benchmarks/near_duplicates.py [--clips 300] [--all] [--grow]
"""

import argparse
import io
import resource
import time
from collections.abc import Callable
from pathlib import Path

import clips as chosen
import numpy as np
import threadpoolctl

from voxtrait import audio, batch
from voxtrait.audio.signals import Signal
from voxtrait.fingerprint import LONGEST_S, Fingerprint, Prints, fingerprint, near_duplicates, search

Sound = tuple[Signal, int]
ROUNDS = 7


def encoded(sound: Sound, codec: str, container: str, kbits: int) -> Sound:
    """Encode and decode a sound with FFmpeg's libraries."""
    import av

    signal, rate = sound
    if codec == "libopus":
        signal, rate = audio.resample(signal, rate, 48_000), 48_000
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = 1000 * kbits
        for at in range(0, signal.size, 960):
            samples = np.ascontiguousarray(signal[None, at : at + 960])
            frame = av.AudioFrame.from_ndarray(samples, format="flt" if codec == "libopus" else "fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, at
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    out.seek(0)
    return audio.load(out, None)


def noisy(sound: Sound, snr_db: float) -> Sound:
    signal, rate = sound
    noise = np.random.default_rng(0).standard_normal(signal.size).astype(np.float32)
    return signal + noise * np.sqrt(np.mean(signal**2)) * np.float32(10 ** (-snr_db / 20)), rate


def cut(sound: Sound, start_s: float, end_s: float = 0.0) -> Sound:
    signal, rate = sound
    return signal[round(start_s * rate) : signal.size - round(end_s * rate)], rate


def to_rate(sound: Sound, rate: int) -> Sound:
    return audio.resample(*sound, rate), rate


def louder(sound: Sound, gain: float) -> Sound:
    return np.clip(sound[0] * np.float32(gain), -1, 1), sound[1]


def padded(sound: Sound, seconds: float) -> Sound:
    return np.concatenate([np.zeros(round(seconds * sound[1]), np.float32), sound[0]]), sound[1]


CHANGES: dict[str, Callable[[Sound], Sound]] = {
    "mp3, 32 kbit/s": lambda sound: encoded(sound, "libmp3lame", "mp3", 32),
    "mp3, 48 kbit/s": lambda sound: encoded(sound, "libmp3lame", "mp3", 48),
    "mp3, 64 kbit/s": lambda sound: encoded(sound, "libmp3lame", "mp3", 64),
    "Opus, 24 kbit/s": lambda sound: encoded(sound, "libopus", "ogg", 24),
    "resampled to 8 kHz": lambda sound: to_rate(sound, 8_000),
    "softer by 12 dB": lambda sound: louder(sound, 0.25),
    "louder by 6 dB, clipped": lambda sound: louder(sound, 2),
    "louder by 12 dB, clipped": lambda sound: louder(sound, 4),
    "0.3 s off the start": lambda sound: cut(sound, 0.3),
    "1 s off the start, 0.2 s off the end": lambda sound: cut(sound, 1.0, 0.2),
    "0.7 s of silence before": lambda sound: padded(sound, 0.713),
    "white noise at 20 dB": lambda sound: noisy(sound, 20),
    "white noise at 10 dB": lambda sound: noisy(sound, 10),
    "0.37 s off, 8 kHz, noise at 20 dB, mp3": lambda sound: encoded(
        noisy(to_rate(cut(sound, 0.37), 8_000), 20), "libmp3lame", "mp3", 32
    ),
}


def recalls(files: list[Path]) -> None:
    sounds = [audio.load(file, None) for file in files]
    sounds = [cut(sound, 0.0, max(0.0, sound[0].size / sound[1] - LONGEST_S)) for sound in sounds]
    taken = [fingerprint(*sound) for sound in sounds]
    print(f"\n{len(files)} clips and a copy of each\n")
    print(f"{'copy':40} {'found':>7} {'of 2 s or more':>15} {'median, 99 % of errors':>23}  others")
    for name, change in CHANGES.items():
        prints = Prints()
        for one in (*taken, *(fingerprint(*change(sound)) for sound in sounds)):
            prints.add(one)
        pairs = near_duplicates(prints)
        found = {pair.first: pair.errors for pair in pairs if pair.second == pair.first + len(files)}
        # at least two seconds of sound
        long = [at for at, one in enumerate(taken) if np.count_nonzero(one.words) * search.WORD_S >= 2]
        among = np.mean([at in found for at in long])
        middle, most = np.quantile(list(found.values()), [0.5, 0.99])
        print(
            f"{name:40} {len(found) / len(files):7.1%} {among:15.1%} {middle:14.3f} {most:8.3f}"
            f"  {len(pairs) - len(found)}",
            flush=True,
        )


def costs(files: list[Path]) -> None:
    """Measure decoding and fingerprints, interleaved clip by clip; the best round of each clip counts."""
    best = np.full((len(files), 2), np.inf)
    seconds = 0.0
    for at, file in enumerate(files):
        for _ in range(ROUNDS):
            start = time.perf_counter()
            block, rate = next(audio.blocks(file, None, mono=False))
            middle = time.perf_counter()
            fingerprint(block, rate)
            best[at] = np.minimum(best[at], (middle - start, time.perf_counter() - middle))
        seconds += block.shape[-1] / rate
    decoding, taking = 1000 * best.mean(axis=0)
    print(f"\n{len(files)} clips, {seconds / len(files):.1f} s on average, one thread, best of {ROUNDS} rounds")
    print(f"decoding {decoding:.2f} ms per clip, fingerprint {taking:.2f} ms")


def _of_file(file: Path) -> Fingerprint:
    return fingerprint(*next(audio.blocks(file, None, mono=False)))


def strangers() -> Prints:
    """Compare all real clips with each other; relaxed keys also show the tail of the compared pairs."""
    files = sorted(file for file in chosen.SPEECH.rglob("*.*") if file.suffix in audio.SUFFIXES)
    taken = list(batch.run(_of_file, files, jobs=2, on_crash=lambda file, why: NOTHING))
    prints = Prints()
    for one in taken:
        prints.add(one)
    pairs = near_duplicates(prints)
    print(f"\n{len(files)} clips compared with each other; pairs found: {len(pairs)}")
    for pair in pairs:
        print(f"  {pair.errors:.3f} of {pair.shared_s} s: {files[pair.first]} = {files[pair.second]}")
    mask, kept, search.NEIGHBOURS = np.uint32(0x0FF0FFF0), search.NEIGHBOURS, 400
    loose = Prints()
    for one in taken:
        loose.add(one._replace(keys=one.keys & mask))
    search.SURE_S, sure = 1e-9, search.SURE_S  # the allowed errors no longer depend on the length
    met = near_duplicates(loose, most_errors=1.0)
    search.NEIGHBOURS, search.SURE_S = kept, sure
    errors, shared = np.array([pair.errors for pair in met]), np.array([pair.shared_s for pair in met])
    print(f"{len(met)} pairs share 24 of the 32 bits of a key; by the sound in both, how many differ in less than")
    limits = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35)
    print(f"{'s':>10} {'pairs':>7}", *(f"{limit:7.2f}" for limit in limits))
    for low, high in ((0.5, 1), (1, 1.5), (1.5, 2), (2, 3), (3, 60)):
        here = errors[(shared >= low) & (shared < high)]
        print(f"{low:4}–{high:<5} {here.size:7}", *(f"{(here < limit).sum():7}" for limit in limits))
    return prints


NOTHING = Fingerprint(np.zeros(0, np.uint16), np.zeros(0, np.uint32), np.zeros(0, np.uint16))


def grow(real: Prints) -> None:
    """Measure the search among synthetic fingerprints: recombined seconds of real ones, with mixed real keys."""
    rng = np.random.default_rng(0)
    words, starts, (keys, owners, at) = real.words, real.starts, real.keys
    bounds = np.searchsorted(owners, np.arange(len(real) + 1))
    own = [Fingerprint(words[a:b], keys[c:d], at[c:d]) for a, b, c, d in zip(
        starts[:-1], starts[1:], bounds[:-1], bounds[1:], strict=True)]  # fmt: skip
    own = [one for one in own if one.keys.size >= 8 and np.count_nonzero(one.words) >= 64]
    print("\n    clips    search    memory  copies found  others")
    for n in (10_000, 100_000, 1_000_000):
        prints = Prints()
        for _ in range(n):
            one = own[rng.integers(len(own))]
            whole = one.words.size // 32 * 32
            pieces = one.words[:whole].reshape(-1, 32)[rng.permutation(whole // 32)]
            mixed = np.concatenate([pieces.ravel() ^ np.uint16(rng.integers(1 << 16)), one.words[whole:]])
            # half of a key from each of two other keys: as likely as real keys, and unique to this clip
            high, low = (rng.integers(len(keys), size=one.keys.size) for _ in range(2))
            prints.add(Fingerprint(mixed, keys[high] & 0xFFFF0000 | keys[low] & 0xFFFF, one.at))
        planted = min(1000, n // 10)
        for one in own[:planted]:
            prints.add(one)
        for one in own[:planted]:  # the copy has a tenth of its signs inverted, and half of its keys
            flips = np.packbits(rng.random((one.words.size, 16)) < 0.1, axis=1).view(np.uint16)[:, 0]
            half = rng.random(one.keys.size) < 0.5
            copy = np.where(one.words > 0, np.maximum(one.words ^ flips, 1), 0).astype(np.uint16)
            prints.add(Fingerprint(copy, one.keys[half], one.at[half]))
        start = time.perf_counter()
        pairs = near_duplicates(prints)
        took = time.perf_counter() - start
        found = sum(pair.second == pair.first + planted for pair in pairs)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{n:9,} {took:7.1f} s {peak:6.0f} MB {found / planted:13.1%} {len(pairs) - found:7}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=300, help="number of clips to copy")
    parser.add_argument("--all", action="store_true", help="also compare all real clips with each other")
    parser.add_argument("--grow", action="store_true", help="also measure up to a million synthetic fingerprints")
    options = parser.parse_args()
    real = sorted(file for file in chosen.SPEECH.rglob("*.*") if file.suffix in audio.SUFFIXES)
    files = real[:: max(1, len(real) // options.clips)][: options.clips]
    with threadpoolctl.threadpool_limits(1):
        costs([file for file in files if file.suffix == ".mp3"])
        recalls(files)
        if options.all or options.grow:
            prints = strangers()
            if options.grow:
                grow(prints)


if __name__ == "__main__":
    main()
