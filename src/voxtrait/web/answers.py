"""The schemas of the responses, with an example for each field, for OpenAPI."""

from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from voxtrait.labels import AGE_GROUPS
from voxtrait.web.errors import KINDS

_SHARES: Final = dict(zip(AGE_GROUPS, [0.0, 0.03, 0.29, 0.41, 0.19, 0.06, 0.02, 0.0, 0.0, 0.0], strict=True))


class UploadAnswer(BaseModel):
    """The first fields of every response to an upload."""

    path: str | None = Field(description="File name as the client sent it.", examples=["clip.mp3"])
    status: Literal["ok", "no_speech", "too_short"] = Field(description="`ok`, or why there is no prediction.")
    message: str | None = Field(
        description="Reason if the status is not `ok`. With `ok`: null, or a note, such as averaged channels."
    )


class PredictionAnswer(UploadAnswer):
    """Gender and age that the voice in a clip presents."""

    duration_s: float | None = Field(description="Duration of the clip in seconds.", examples=[4.82])
    speech_s: float | None = Field(description="Seconds of speech in the clip.", examples=[3.9])
    gender: Literal["female", "male", "unsure"] | None = Field(
        description="Presented gender; `unsure`: the probability is inside the abstention band.", examples=["female"]
    )
    p_female: float | None = Field(description="Calibrated probability of female.", examples=[0.973])
    age_years: float | None = Field(description="Age in years.", examples=[34.2])
    age_low: float | None = Field(description="Lower end of the 80 % interval.", examples=[24.0])
    age_high: float | None = Field(description="Upper end of the 80 % interval.", examples=[47.0])
    age_group: str | None = Field(description="Decade of `age_years`.", examples=["thirties"])
    age_groups: dict[str, float] | None = Field(
        description="Probability of each age group; sums to 1.", examples=[_SHARES]
    )
    model: str = Field(description="Name and version of the bundle.", examples=["voxtrait-base 2.5"])
    voices: Literal["one", "several"] | None = Field(
        None, description="Whether the clip has one voice or several; null if not examined.", examples=["one"]
    )


class SpeakerAnswer(BaseModel):
    """A speaker of a recording. The estimates are null if the speaker has less than 0.7 s without overlap."""

    speaker: str = Field(description="Name of the speaker.", examples=["S1"])
    speech_s: float = Field(description="Seconds of speech, including overlapping speech.", examples=[91.3])
    gender: Literal["female", "male", "unsure"] | None = Field(
        description="Presented gender; `unsure`: the probability is inside the abstention band.", examples=["female"]
    )
    p_female: float | None = Field(description="Calibrated probability of female.", examples=[0.99])
    age_years: float | None = Field(description="Age in years.", examples=[41.0])
    age_low: float | None = Field(description="Lower end of the 80 % interval.", examples=[33.0])
    age_high: float | None = Field(description="Upper end of the 80 % interval.", examples=[50.0])
    age_group: str | None = Field(description="Decade of `age_years`.", examples=["forties"])
    age_groups: dict[str, float] | None = Field(
        description="Probability of each age group; sums to 1.", examples=[_SHARES]
    )


class SegmentAnswer(BaseModel):
    """A turn of one speaker, or a segment without a speaker."""

    start_s: float = Field(description="Start in seconds.", examples=[0.35])
    end_s: float = Field(description="End in seconds.", examples=[4.62])
    speaker: str | None = Field(description="Name of the speaker; null for music.", examples=["S1"])
    kind: str | None = Field(
        None, description="Kind of a segment without a speaker; otherwise absent.", examples=["music"]
    )


class TimelineAnswer(UploadAnswer):
    """Who speaks when in a recording. `segments` are sorted by start; overlapping speech is several segments."""

    duration_s: float | None = Field(description="Duration of the recording in seconds.", examples=[366.2])
    speech_s: float | None = Field(description="Seconds in which at least one speaker speaks.", examples=[242.0])
    speakers: list[SpeakerAnswer] = Field(description="In the order in which they first speak.")
    segments: list[SegmentAnswer] = Field(description="Sorted by start.")
    speaking_s: dict[str, float] = Field(
        description="Seconds of speech by gender.", examples=[{"female": 140.2, "male": 95.1, "unsure": 6.7}]
    )
    model: str = Field(description="Name and version of the bundle.", examples=["voxtrait-base 2.5"])
    speaking: dict[str, dict[str, dict[str, float]]] = Field(
        description="Seconds and share of speech for each `gender` and `age_group`, with a 95 % interval of the share.",
        examples=[{"gender": {"female": {"seconds": 140.2, "share": 0.579, "low": 0.49, "high": 0.66}}}],
    )
    female_share: dict[str, float] | None = Field(
        description="Share of female voices in the speaking time, with a 95 % interval. `unsure` voices count by "
        "`p_female`. Null if no speaker has a prediction.",
        examples=[{"share": 0.607, "low": 0.52, "high": 0.69}],
    )


class PieceLine(BaseModel):
    """A processed piece of the recording, about 30 s long."""

    type: Literal["piece"] = Field(description="Kind of the line.")
    start_s: float = Field(description="Start of the piece in seconds.", examples=[30.0])
    end_s: float = Field(description="End of the piece in seconds.", examples=[60.0])
    at_s: float = Field(description="Seconds processed so far.", examples=[60.0])
    duration_s: float | None = Field(description="Duration of the recording, if the file states it.", examples=[366.2])
    waveform: list[list[float]] = Field(
        description="Lowest and highest sample of up to 300 equal parts.", examples=[[[-0.02, 0.03], [-0.4, 0.38]]]
    )
    spectrogram: str = Field(description="432×96 grey PNG as a data URL.", examples=["data:image/png;base64,iVBOR…"])


class PitchAnswer(BaseModel):
    """Fundamental frequency at even steps."""

    start_s: float = Field(description="Time of the first value in seconds.", examples=[0.025])
    step_s: float = Field(description="Time between two values in seconds.", examples=[0.01])
    hz: list[float | None] = Field(description="Null where there is no speech or no pitch.", examples=[[None, 118.2]])


class CourseLine(BaseModel):
    """Estimates over time for one voice. Each estimate uses about 3 s of speech around a time of `at_s`."""

    type: Literal["course"] = Field(description="Kind of the line.")
    at_s: list[float] = Field(description="Times of the estimates in seconds.", examples=[[1.5, 2.5]])
    p_female: list[float | None] = Field(description="Calibrated probability at each time.", examples=[[0.96, 0.97]])
    age_years: list[float | None] = Field(description="Age in years at each time.", examples=[[33.1, 35.0]])
    age_low: list[float | None] = Field(
        description="Lower end of the 80 % interval at each time.", examples=[[23.0, 25.0]]
    )
    age_high: list[float | None] = Field(
        description="Upper end of the 80 % interval at each time.", examples=[[46.0, 48.0]]
    )
    pitch: PitchAnswer = Field(description="Pitch over time.")
    speech: list[list[float]] = Field(description="Start and end of each speech segment.", examples=[[[0.35, 4.62]]])


class TimelineLine(BaseModel):
    """The timeline of the whole recording."""

    type: Literal["timeline"] = Field(description="Kind of the line.")
    timeline: TimelineAnswer = Field(description="The same object as without the header `Accept`.")


class FormatAnswer(BaseModel):
    """The timeline as a file."""

    format: str = Field(description="Name of the format.", examples=["rttm"])
    ending: str = Field(description="Usual file name extension.", examples=[".rttm"])
    content: str = Field(
        description="Content of the file.", examples=["SPEAKER talk 1 0.350 4.270 <NA> <NA> S1 <NA> <NA>\n"]
    )


class FormatsLine(BaseModel):
    """The timeline in the formats of other programs. Not sent unless the status of the timeline is `ok`."""

    type: Literal["formats"] = Field(description="Kind of the line.")
    formats: list[FormatAnswer] = Field(description="One item for each format.")


class ShownAnswer(BaseModel):
    """Waveform and spectrogram of a clip."""

    duration_s: float = Field(description="Duration of the clip in seconds.", examples=[4.82])
    shown_s: float = Field(description="Seconds that waveform and spectrogram cover: at most 60.", examples=[4.82])
    waveform: list[list[float]] = Field(
        description="Lowest and highest sample of up to 600 equal parts.", examples=[[[-0.02, 0.03], [-0.4, 0.38]]]
    )
    spectrogram: str = Field(description="432×288 grey PNG as a data URL.", examples=["data:image/png;base64,iVBOR…"])


class ModelAnswer(BaseModel):
    """An installed bundle."""

    name: str = Field(description="Name of the bundle.", examples=["voxtrait-base"])
    version: str = Field(description="Version of the bundle.", examples=["2.5"])
    title: str = Field(description="Name and version.", examples=["voxtrait-base 2.5"])
    active: bool = Field(description="Whether this server predicts with it.")
    unsure: list[float] | None = Field(
        description="Abstention band of p_female: inside it, gender is `unsure`.", examples=[[0.23, 0.77]]
    )
    description: str = Field(description="One sentence about the bundle.")
    tasks: dict[str, list[str]] = Field(description="Labels of each task.")
    scores: dict[str, Any] = Field(
        description="Evaluation figures of the bundle. If present, `age.by_estimate` is the age error by estimated "
        "decade, `age.by_group` by labelled decade, and `gender.by_group` the recall of gender by group."
    )
    data: list[dict[str, Any]] = Field(description="Corpora of the training.")
    pretrained: list[dict[str, Any]] = Field(description="Pretrained weights that the training started from.")
    licence: str = Field(description="Licence of the bundle.", examples=["Apache-2.0"])
    size_mb: float = Field(description="Size of all files in MB.")


class LimitsAnswer(BaseModel):
    """The limits of the server."""

    max_upload_bytes: int = Field(description="Maximum size of an upload in bytes.", examples=[100_000_000])
    max_seconds: float = Field(description="Maximum seconds of audio in an upload.", examples=[3600.0])
    timeout_s: float = Field(description="Maximum seconds of processing without progress.", examples=[60.0])
    auth: bool = Field(description="Whether the server requires a token.")


class HealthAnswer(BaseModel):
    """Health of the server."""

    status: Literal["ok", "down"] = Field(description="`ok` if a worker is ready.")
    workers: int = Field(description="Number of running workers.", examples=[2])
    version: str = Field(description="Version of voxtrait.", examples=["0.1.0"])


class ErrorBody(BaseModel):
    """Code and message of an error."""

    code: str = Field(description="Name of the error.", examples=["busy"])
    message: str = Field(description="What was received, what was expected, what to do.")


class ErrorAnswer(BaseModel):
    """The form of every error response."""

    error: ErrorBody = Field(description="The error.")


class ErrorLine(ErrorAnswer):
    """An error after the first line. It is the last line."""

    type: Literal["error"] = Field(description="Kind of the line.")


Line = PieceLine | CourseLine | TimelineLine | FormatsLine | ErrorLine


def refusals(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route for OpenAPI, by status, with one example for each code."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in ("token", "cross_origin", "wrong_host", *codes):
        kind = KINDS[code]
        response = found.setdefault(kind.status, {"model": ErrorAnswer, "description": ""})
        response["description"] = "; ".join(filter(None, [response["description"], f"{code}: {kind.meaning}"]))
        example = {"value": {"error": {"code": code, "message": kind.meaning}}}
        content = response.setdefault("content", {"application/json": {"examples": {}}})
        content["application/json"]["examples"][code] = example
        if kind.status == 503:
            response["headers"] = {
                "Retry-After": {
                    "description": "Seconds until the next attempt.",
                    "schema": {"type": "integer", "minimum": 1},
                }
            }
    return found


UPLOAD: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "wav, mp3, flac, ogg, opus, m4a or webm.",
                        }
                    },
                }
            }
        },
    }
}
"""The request body with a file. The server parses it as a stream, without FastAPI's parser."""
