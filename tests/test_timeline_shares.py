"""The share of female voices in the speaking time, when some voices are unsure."""

import numpy as np
import pytest

from voxtrait.timelines.drawing import text
from voxtrait.timelines.records import Segment, Speaker, Timeline


def talk(*speakers: tuple[str | None, float | None, float]) -> Timeline:
    """Return a timeline: each speaker (gender, P(female), seconds) has turns of up to a second, in rotation."""
    rest, segments, at = [seconds for *_, seconds in speakers], [], 0.0
    while any(left > 0 for left in rest):
        for place, left in enumerate(rest):
            if left > 0:
                segments.append(Segment(at, at + min(1.0, left), f"S{place + 1}"))
                at, rest[place] = at + min(1.0, left), left - 1.0
    people = tuple(Speaker(f"S{at + 1}", s, gender, p) for at, (gender, p, s) in enumerate(speakers))
    return Timeline("talk.wav", "ok", None, at, at, people, tuple(segments), "voxtrait-base")


@pytest.mark.parametrize(
    ("speakers", "share"),
    [
        ([("female", 0.99, 30), ("male", 0.01, 10)], 0.75),
        ([("female", 0.99, 30), ("unsure", 0.7, 10), ("male", 0.01, 10)], 0.8),
        ([("female", 0.99, 30), ("unsure", 0.3, 10), ("male", 0.01, 10)], 0.6),
        # the median of eight draws with 0.6 is 5; the more probable gender of each voice would give 8
        ([("unsure", 0.6, 10)] * 8, 5 / 8),
        # speakers without a prediction are left out
        ([("female", 0.99, 30), (None, None, 20), ("male", 0.01, 10)], 0.75),
        # other programs give a gender without a probability
        ([("female", None, 12), ("male", None, 4)], 0.75),
    ],
)  # fmt: skip
def test_unsure_voices_count_by_their_probability(
    speakers: list[tuple[str | None, float | None, float]], share: float
) -> None:
    found = talk(*speakers).female_share()
    assert found is not None
    assert found["share"] == pytest.approx(share)
    assert found["low"] <= found["share"] <= found["high"]


def test_the_interval_includes_uncertain_genders_and_resampled_turns() -> None:
    sure, unsure = talk(("female", 1.0, 40), ("male", 0.0, 40)), talk(("female", 1.0, 40), ("unsure", 0.3, 40))
    widths = []
    for one in (sure, unsure):
        found = one.female_share()
        assert found is not None
        widths.append(found["high"] - found["low"])
    # 80 turns of equal length, half of them a woman's: 1.96 · sqrt(0.25 / 80) to either side
    assert widths[0] == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 80), abs=0.03)
    assert widths[1] > 0.55
    again = unsure.female_share()
    assert again == unsure.female_share() and again != unsure.female_share(seed=1)


def test_there_is_no_share_without_a_prediction() -> None:
    for nobody in (talk(), talk((None, None, 5)), talk(("female", 0.9, 5))[90:95]):
        assert nobody.female_share() is None
        assert nobody.to_dict()["female_share"] is None
        assert "Share of female" not in text(nobody)


def test_the_text_has_the_share_only_if_a_voice_is_unsure() -> None:
    # the seconds of a speaker without a prediction count as unsure, but there is no probability
    assert "Share of female" not in text(talk(("female", 0.99, 30), (None, None, 20)))
    lines = text(talk(("female", 1.0, 3), ("unsure", 0.7, 1))).splitlines()
    assert "Share of female voices, unsure ones counted by probability: 100 % (50–100 %)" in lines
    assert lines.index("Speaking time (share, 95 % interval)") < lines.index(
        "Share of female voices, unsure ones counted by probability: 100 % (50–100 %)"
    )


def test_female_share_is_the_last_field_of_json() -> None:
    found = talk(("female", 1.0, 3), ("unsure", 0.7, 1)).to_dict()
    assert list(found)[-2:] == ["speaking", "female_share"]
    assert found["female_share"] == {"share": 1.0, "low": 0.5, "high": 1.0}
    assert found["speaking_s"] == {"female": 3.0, "male": 0.0, "unsure": 1.0}
