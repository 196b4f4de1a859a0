"""Telemetry's history, its rate, markers, and the answers with their measurements."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from app.service.services import services_of
from app.shared.chats import Message
from app.shared.telemetry import Marker, TelemetryHistory

router = APIRouter(prefix="/api")

LAST_SECONDS = 600.0  # what is shown when no stretch is named
DAY_SECONDS = 24 * 3600.0


class RateBody(BaseModel):
    """How often to sample, per second."""

    model_config = ConfigDict(extra="forbid")

    hertz: float


class ProcessBody(BaseModel):
    """A process of Pult's that wants to be measured: the window tells its own."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["window"]
    pid: int = Field(gt=0)


@router.get("/telemetry")
def history(
    request: Request, since: float | None = None, until: float | None = None, points: int = 1500
) -> TelemetryHistory:
    """Return the samples of a stretch, thinned to about `points` rows; without a stretch the last ten minutes."""
    since, until = _stretch(since, until)
    return services_of(request).telemetry.history(since, until, points)


@router.get("/telemetry.csv")
def table(request: Request, since: float | None = None, until: float | None = None) -> StreamingResponse:
    """Return a stretch unthinned as CSV; without one the last day."""
    since, until = _stretch(since, until, usual=DAY_SECONDS)
    rows = services_of(request).telemetry.csv(since, until)
    first = next(rows)  # a wrong stretch is refused before the answer begins

    def pieces() -> Iterator[str]:
        yield first
        yield from rows

    name = time.strftime("pult-telemetry-%Y%m%d-%H%M%S.csv", time.localtime(until))
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(pieces(), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/telemetry/rate")
def rate(request: Request) -> RateBody:
    """Return how often is sampled."""
    return RateBody(hertz=services_of(request).telemetry.rate)


@router.put("/telemetry/rate")
def set_rate(request: Request, body: RateBody) -> RateBody:
    """Sample this often from now on; remembered."""
    services = services_of(request)
    services.telemetry.set_rate(body.hertz)
    services.preferences.set("telemetry_hertz", services.telemetry.rate)
    return RateBody(hertz=services.telemetry.rate)


@router.put("/telemetry/process", status_code=204)
def watch(request: Request, body: ProcessBody) -> None:
    """Measure the window's process too, until it ends."""
    services_of(request).telemetry.add_process(body.role, body.pid)


@router.get("/markers")
def markers(request: Request, since: float | None = None, until: float | None = None) -> tuple[Marker, ...]:
    """Return what happened in a stretch, oldest first; without one in the last day."""
    since, until = _stretch(since, until, usual=DAY_SECONDS)
    return services_of(request).telemetry.markers(since, until)


@router.get("/answers")
def answers(
    request: Request, since: float | None = None, limit: int = Query(500, ge=1, le=5000)
) -> tuple[Message, ...]:
    """Return finished answers with their measurements, newest first."""
    found: tuple[Message, ...] = services_of(request).chats.answers(since=since, limit=limit)
    return found


def _stretch(since: float | None, until: float | None, *, usual: float = LAST_SECONDS) -> tuple[float, float]:
    end = time.time() if until is None else until
    return (end - usual if since is None else since), end
