"""What the OpenAPI document says about each route, beyond what FastAPI sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEXT: dict[str, Any] = {"type": "string"}


_NUMBER: dict[str, Any] = {"type": "number"}


_ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["class", "probability", "probabilities", "abstained", "reason", "distance"],
    "properties": {
        "class": {**_TEXT, "description": "The most probable class; with a reason, the nearest one."},
        "probability": {**_NUMBER, "description": "Calibrated."},
        "probabilities": {"type": "object", "additionalProperties": _NUMBER},
        "abstained": {"type": "boolean", "description": "Whether there is a reason not to answer."},
        "reason": {"type": ["string", "null"], "enum": [None, "not sure", "none of these"]},
        "distance": {"type": ["number", "null"], "description": "About 1 for a picture like those of training."},
        "hint": _TEXT,
    },
}


_RESULT: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {**_ANSWER["properties"], "file": _TEXT, "error": _TEXT},
}


_MANY: dict[str, Any] = {
    "type": "object",
    "required": ["results", "failed"],
    "properties": {"results": {"type": "array", "items": _RESULT}, "failed": {"type": "integer"}},
}


_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "hint"],
            "properties": {"code": _TEXT, "message": _TEXT, "hint": _TEXT},
        }
    },
}


_ERROR_V2: dict[str, Any] = {"type": "object", "required": ["error"], "properties": {"error": _TEXT}}


_STATUSES = {
    400: "The body is not in the form that the route takes.",
    408: "The request did not arrive in time.",
    413: "The request is too large.",
    415: "The body is compressed, or is a form where a file is expected.",
    422: "The picture cannot be read.",
    503: "Too many pictures are waiting, or memory is full. Retry-After says when to try again.",
}


def _responses(schema: dict[str, Any], error: dict[str, Any], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the responses of a route."""
    errors = {status: (_STATUSES[status], error) for status in statuses}
    return {
        status: {"description": description, "content": {"application/json": {"schema": content}}}
        for status, (description, content) in ({200: ("The answer.", schema)} | errors).items()
    }


def _body(media: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return what a route takes."""
    return {"requestBody": {"required": True, "content": {media: {"schema": schema}}}}


_BINARY = {"type": "string", "format": "binary"}


PREDICT: dict[str, Any] = {
    "responses": _responses(_ANSWER, _ERROR, 408, 413, 415, 422, 503),
    "openapi_extra": _body("application/octet-stream", _BINARY),
}


PREDICT_MANY: dict[str, Any] = {
    "responses": _responses(_MANY, _ERROR, 400, 408, 413, 415, 503),
    "openapi_extra": _body(
        "multipart/form-data",
        {
            "type": "object",
            "required": ["picture"],
            "properties": {"picture": {"type": "array", "minItems": 1, "items": _BINARY}},
        },
    ),
}


GET: dict[str, Any] = {"responses": _responses({"type": "object"}, _ERROR_V2)}


_NO_MODEL = {404: {"description": "There is no such model.", "content": {"application/json": {"schema": _ERROR_V2}}}}


def _of_model(names: Mapping[str, str]) -> dict[str, Any]:
    """Return the parts of a path that name the model."""
    return {
        "parameters": [
            {"name": part, "in": "path", "required": True, "schema": {**_TEXT, "enum": [name]}}
            for part, name in names.items()
        ]
    }


def get_model(names: Mapping[str, str]) -> dict[str, Any]:
    """Return the description of a route that tells about the model.

    Args:
        names: The parts of its path that name it, and the name.
    """
    return {"responses": _responses({"type": "object"}, _ERROR_V2) | _NO_MODEL, "openapi_extra": _of_model(names)}


def infer(names: Mapping[str, str]) -> dict[str, Any]:
    """Return the description of the route that classifies pixels.

    Args:
        names: The parts of its path that name the model, and the name.
    """
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"const": "pixels"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 4, "maxItems": 4},
            "datatype": {"const": "UINT8"},
            "data": {"type": "array"},
        },
    }
    schema = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": _TEXT,
            "inputs": {"type": "array", "items": tensor, "minItems": 1, "maxItems": 1},
            "outputs": {"type": "array", "items": {"type": "object", "required": ["name"]}},
        },
    }
    return {
        "responses": _responses({"type": "object"}, _ERROR_V2, 400, 408, 413, 415, 422, 503) | _NO_MODEL,
        "openapi_extra": _of_model(names) | _body("application/json", schema),
    }


METRICS: dict[str, Any] = {
    "responses": {200: {"description": "In Prometheus' text format.", "content": {"text/plain": {"schema": _TEXT}}}}
}
