"""The HTTP application: routes put together, the gate before them, and one wording for every error."""

from __future__ import annotations

import os
from collections.abc import Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app import __version__
from app.service.auth import Gate, error_body
from app.service.services import Services
from app.shared.errors import BadRequest, NotFound, PultError


def create_app(services: Services) -> FastAPI:
    """Return the application that serves `services`, guarded by their token and hosts."""
    from app.service.routes import all_routers

    app = FastAPI(title="Pult", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.services = services
    for router in all_routers():
        app.include_router(router)

    @app.get("/health")
    def health() -> dict[str, str | int]:
        return {"status": "ok", "version": __version__, "pid": os.getpid()}

    def say(request: Request, error: PultError) -> JSONResponse:
        return JSONResponse(error_body(error, request.url.path), status_code=error.status)

    @app.exception_handler(PultError)
    def known(request: Request, error: PultError) -> JSONResponse:
        return say(request, error)

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        return say(request, _worded(error.errors()))

    @app.exception_handler(HTTPException)
    def not_served(request: Request, error: HTTPException) -> JSONResponse:
        path = f"{request.method} {request.url.path}"
        if error.status_code in (404, 405):
            return say(
                request,
                NotFound("The service has no {path}. docs/architecture.md lists what it has.", path=path),
            )
        return say(
            request, BadRequest("{path} cannot be answered: {detail}", path=path, detail=str(error.detail))
        )

    @app.exception_handler(Exception)
    def unforeseen(request: Request, error: Exception) -> JSONResponse:
        services.log.crash(f"answer to {request.method} {request.url.path}", error)
        return say(
            request,
            PultError(
                "The service failed unexpectedly: {what}. The log has the details.",
                what=f"{type(error).__name__}: {error}"[:300],
                remedies=("log",),
            ),
        )

    app.add_middleware(Gate, token=services.token, hosts=_hosts(services))
    return app


def _hosts(services: Services) -> tuple[str, ...]:
    if services.hosts:
        return services.hosts
    port = services.address.rpartition(":")[2]
    return tuple(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))


def _worded(errors: Sequence[dict[str, object]]) -> BadRequest:
    """Say the first thing wrong with a body, with its place and value."""
    first = errors[0]
    place = first.get("loc", ())
    parts = (
        [str(part) for part in place if part not in ("body", "query")]
        if isinstance(place, (tuple, list))
        else []
    )
    if first.get("type") == "json_invalid":
        return BadRequest(
            "The body is not JSON: {reason}. Send a JSON object.", reason=str(first.get("ctx", ""))
        )
    value = first.get("input")
    shown = value if isinstance(value, (int, float, str)) or value is None else type(value).__name__
    return BadRequest(
        "The field {field} is {value}, which does not fit: {reason}.",
        field=".".join(parts) or "body",
        value="missing" if first.get("type") == "missing" else str(shown)[:120],
        reason=str(first.get("msg", "wrong type"))[:200].rstrip("."),
    )
