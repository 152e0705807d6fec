"""The schemas of the responses, with an example each, for OpenAPI."""

from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from voxtrait.labels import AGE_GROUPS
from voxtrait.web.errors import KINDS

_SHARES: Final = dict(zip(AGE_GROUPS, [0.0, 0.03, 0.29, 0.41, 0.19, 0.06, 0.02, 0.0, 0.0, 0.0], strict=True))


class PredictionAnswer(BaseModel):
    """What a voice presents as in one clip."""

    path: str | None = Field(description="The file's name as it was sent.", examples=["clip.mp3"])
    status: Literal["ok", "no_speech", "too_short"]
    message: str | None = Field(description="Why there is no answer, where there is none.")
    duration_s: float | None = Field(examples=[4.82])
    speech_s: float | None = Field(description="Seconds of speech among them.", examples=[3.9])
    gender: Literal["female", "male", "unsure"] | None = Field(description="As it presents.", examples=["female"])
    p_female: float | None = Field(description="Calibrated probability.", examples=[0.973])
    age_years: float | None = Field(examples=[34.2])
    age_low: float | None = Field(description="Lower end of the 80 % interval.", examples=[24.0])
    age_high: float | None = Field(description="Upper end of the 80 % interval.", examples=[47.0])
    age_group: str | None = Field(examples=["thirties"])
    age_groups: dict[str, float] | None = Field(description="Share of each group; sums to 1.", examples=[_SHARES])
    model: str = Field(examples=["voxtrait-base 2.0"])


class ShownAnswer(BaseModel):
    """A clip to look at."""

    duration_s: float = Field(examples=[4.82])
    shown_s: float = Field(description="What both pictures span: a minute at most.", examples=[4.82])
    waveform: list[list[float]] = Field(
        description="Lowest and highest sample of up to 600 equal stretches.", examples=[[[-0.02, 0.03], [-0.4, 0.38]]]
    )
    spectrogram: str = Field(description="432×288 grey PNG as a data URL.", examples=["data:image/png;base64,iVBOR…"])


class ModelAnswer(BaseModel):
    """An installed bundle."""

    name: str = Field(examples=["voxtrait-base"])
    version: str = Field(examples=["1.0"])
    title: str = Field(examples=["voxtrait-base 2.0"])
    active: bool = Field(description="Whether this server answers by it.")
    unsure: list[float] | None = Field(description="Where p_female is answered 'unsure'.", examples=[[0.33, 0.67]])
    description: str
    tasks: dict[str, list[str]]
    scores: dict[str, Any] = Field(
        description="Figures of the bundle's evaluation. If present, `age.by_estimate` is the age error by estimated "
        "decade, and `age.by_group` by labelled decade."
    )
    data: list[dict[str, Any]]
    pretrained: list[dict[str, Any]]
    licence: str = Field(examples=["Apache-2.0"])
    size_mb: float


class LimitsAnswer(BaseModel):
    """What the server takes."""

    max_upload_bytes: int = Field(examples=[100_000_000])
    max_seconds: float = Field(examples=[3600.0])
    timeout_s: float = Field(examples=[60.0])
    auth: bool = Field(description="Whether a token is needed.")


class HealthAnswer(BaseModel):
    """Whether the server can work."""

    status: Literal["ok", "down"]
    workers: int = Field(description="How many are up.", examples=[2])
    version: str = Field(examples=["0.1.0"])


class ErrorBody(BaseModel):
    """What went wrong."""

    code: str = Field(examples=["busy"])
    message: str = Field(description="What was got, what was expected, what to do.")


class ErrorAnswer(BaseModel):
    """Every answer that is no success."""

    error: ErrorBody


def refusals(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Describe the problems that a route may return, by status, with one example for each code."""
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
                "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}
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
"""The body of a request with a file. The server streams it itself, without FastAPI's own parsing."""
