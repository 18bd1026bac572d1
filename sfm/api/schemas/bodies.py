"""Bodies of requests: read up to a bound, then held against a model."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from sfm.api.problems import TooLargeError

__all__ = ["MAX_BYTES", "body_of", "described_body"]

MAX_BYTES = 64 * 1024
"""A note of 4000 signs, each written as two escapes of six bytes, and the rest."""

Model = TypeVar("Model", bound=BaseModel)


def described_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return what the OpenAPI page says of a body that ``body_of`` reads."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


async def body_of(request: Request, model: type[Model]) -> Model:
    """
    Return what a request brings.

    Raises:
        TooLargeError: it is larger than any body may be; no more of it was read.
        RequestValidationError: it is not what ``model`` says; names each field.
    """
    body = bytearray()
    # Closed at once where it is left early: else whenever the interpreter finds it.
    async with aclosing(request.stream()) as parts:
        async for part in parts:
            body += part
            if len(body) > MAX_BYTES:
                raise TooLargeError(f"a body has at most {MAX_BYTES} bytes; send less")
    try:
        # Strict: `true` is no number of events, and "5" is a text.
        return model.model_validate_json(bytes(body), strict=True)
    except ValidationError as error:
        wrong = [{**e, "loc": ("body", *e["loc"])} for e in error.errors(include_url=False)]
        raise RequestValidationError(wrong) from None
