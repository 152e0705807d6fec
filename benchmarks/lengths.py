"""Measures whether peak memory of ``voxtrait FILE`` and ``voxtrait listen`` grows with the length of a recording.

    .venv/bin/python benchmarks/lengths.py                  # 3 minutes and 3 hours, mp3 and m4a
    .venv/bin/python benchmarks/lengths.py --minutes 3 30 --kinds mp3

The recordings are repeated, concatenated clips, real ones if available. Target: the longest recording needs at most 1.5
times the memory of the shortest.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import clips as chosen
import memory
import numpy as np
import soundfile

from voxtrait import audio
from voxtrait.cli.options import print_table

RATE = 16_000
KINDS = {"mp3": None, "m4a": "aac", "wav": None}
COMMANDS = {"predict": ["predict"], "listen": ["listen", "--every", "5"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="+", default=[3, 180], help="lengths in minutes")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["mp3", "m4a"], help="kinds of file")
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS), help="commands to measure")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="voxtrait-lengths-") as folder:
        clips, what = chosen.choose(Path(folder) / "clips", 24)
        minute = np.concatenate([audio.load(clip, RATE)[0] for clip in clips])
        print(f"recordings of {len(clips)} repeated clips ({what}), {RATE} Hz mono")
        rows = []
        for kind in asked.kinds:
            for command in (COMMANDS[name] for name in asked.commands):
                first = 0.0
                for minutes in asked.minutes:
                    file = Path(folder) / f"{minutes:g}.{kind}"
                    if not file.is_file():
                        write(file, minute, round(minutes * 60 * RATE))
                    start = time.perf_counter()
                    peak = memory.peak_mb([*command, str(file)])
                    took = time.perf_counter() - start
                    first = first or peak
                    name = f"voxtrait {' '.join(command)}"
                    figures = {"peak MB": round(peak), "ratio": round(peak / first, 2)}
                    speed = {"× real time": round(minutes * 60 / took)}
                    rows.append({"command": name, "kind": kind, "minutes": minutes} | figures | speed)
        print_table(rows)


def pieces(sound: np.ndarray, samples: int) -> Iterator[np.ndarray]:
    """Yield a sound repeatedly, up to ``samples`` samples, in parts of a minute."""
    while samples > 0:
        for at in range(0, len(sound), 60 * RATE):
            piece = sound[at : at + min(60 * RATE, max(0, samples))]
            samples -= len(piece)
            if len(piece):
                yield piece


def write(file: Path, sound: np.ndarray, samples: int) -> None:
    codec = KINDS[file.suffix[1:]]
    if codec is None:
        with soundfile.SoundFile(file, "w", RATE, 1) as out:
            for piece in pieces(sound, samples):
                out.write(piece)
        return
    import av

    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        size = stream.codec_context.frame_size
        resampler = av.AudioResampler(stream.codec_context.format, "mono", RATE, frame_size=size)
        for piece in pieces(sound, samples):
            frame = av.AudioFrame.from_ndarray(piece[None], format="fltp", layout="mono")
            frame.sample_rate = RATE
            for out in resampler.resample(frame):
                container.mux(stream.encode(out))
        for out in resampler.resample(None):
            container.mux(stream.encode(out))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main()
