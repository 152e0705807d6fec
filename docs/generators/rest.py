"""Makes reference/rest.md: the REST API from the server's OpenAPI description, and its WebSocket."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from generators.fields import page, prose, table
from voxtrait.web import Settings, create_app
from voxtrait.web.answers import Line
from voxtrait.web.errors import KINDS
from voxtrait.web.live import CLOSED, MESSAGES

Schema = Mapping[str, Any]
LONGEST_EXAMPLE = 60  # characters


def lines() -> Iterator[str]:
    """Yield the lines of the page."""
    described = create_app(settings=Settings(workers=1)).openapi()
    yield from page(
        "REST API",
        "`voxtrait serve` has these addresses. The OpenAPI description is at `/openapi.json`. [Run the web page "
        "and the REST API](../how-to/web.md) has examples and clients.",
        "With `--token-file`, the addresses below `/v1/` and `/metrics` need the header `Authorization: Bearer TOKEN`.",
    )
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield from ("", f"## {method.upper()} {path}", "")
            yield from _operation(operation)
    yield from ("", "## Errors", "")
    yield from prose(
        'Errors are JSON: `{"error": {"code": CODE, "message": TEXT}}`. With 503, `Retry-After` has seconds.'
    )
    yield ""
    yield from table(
        ("status", "code", "meaning"), ((str(one.status), f"`{code}`", one.meaning) for code, one in KINDS.items())
    )
    yield from ("", "## WebSocket /v1/live", "")
    yield from prose(
        "Live estimates for one voice. Text messages are JSON. With a token, the client offers the subprotocols "
        "`voxtrait` and `token.TOKEN`."
    )
    yield ""
    yield from table(("sender", "message", "meaning"), ((who, f"`{message}`", text) for who, message, text in MESSAGES))
    yield ""
    yield from table(("close code", "meaning"), ((str(code), text) for code, text in CLOSED))
    yield from ("", "## Objects", "")
    yield from prose(
        "These are the objects of the responses. [Prediction fields](prediction.md) and [timeline fields](timeline.md) "
        "have more about their meaning."
    )
    schemas = described["components"]["schemas"]
    shown = {name: schema for name, schema in schemas.items() if name not in ("ErrorAnswer", "ErrorBody")}
    for name, schema in shown.items():
        yield from _object(name, schema)
    yield from ("", "## Lines of a timeline", "")
    yield from prose(
        "With `Accept: application/x-ndjson`, `POST /v1/timeline` responds with these lines. A recording of several "
        "voices has no `CourseLine`. `ErrorLine` has the fields of an error, and no line follows it."
    )
    described_lines = TypeAdapter(Line).json_schema()["$defs"]
    for name, schema in described_lines.items():
        if name not in schemas and name != "ErrorLine":
            yield from _object(name, schema)


def _operation(operation: Schema) -> Iterator[str]:
    for part in operation["description"].split("\n\n"):
        yield from (*prose(part), "")
    body = operation.get("requestBody")
    if body:
        ((kind, content),) = body["content"].items()
        for name, field in content["schema"]["properties"].items():
            yield from prose(f"Request: `{kind}` with the field `{name}`: {field['description']}")
            yield ""
    good = operation["responses"]["200"]["content"]
    yield from prose("Response: " + "; ".join(f"`{kind}`{_reference(content)}" for kind, content in good.items()) + ".")
    yield ""
    yield from prose("Statuses: " + ", ".join(sorted(operation["responses"])) + ".")


def _reference(content: Schema) -> str:
    schema = content.get("schema", {})
    inner = schema.get("items", schema)
    name = inner.get("$ref", "").rpartition("/")[2]
    if not name:
        return ", [lines](#lines-of-a-timeline)" if schema else ""
    return f", {'a list of ' if schema is not inner else ''}[{name}](#{name.lower()})"


def _object(name: str, schema: Schema) -> Iterator[str]:
    yield from ("", f"### {name}", "")
    yield from prose(schema.get("description", ""))
    yield ""
    rows = []
    for field, value in schema["properties"].items():
        example = value.get("examples", [None])[0]
        shown = "" if example is None else json.dumps(example, ensure_ascii=False)
        rows.append(
            (
                f"`{field}`",
                _kind(value),
                value.get("description", ""),
                f"`{shown}`" if shown and len(shown) < 60 else "",
            )
        )
    yield from table(("field", "type", "meaning", "example"), rows)


def _kind(value: Schema) -> str:
    """Return the type of a value, with its objects as links."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in value:
        return " or ".join(_kind(one) for one in value["anyOf"])
    if "enum" in value:
        return ", ".join(f"`{one}`" for one in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if value.get("type") == "array":
        inner = _kind(value["items"])
        return f"list of ({inner})" if " or " in inner else f"list of {inner}"
    return str(value.get("type", "any"))
