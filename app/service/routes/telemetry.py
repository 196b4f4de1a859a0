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
    """Return the same stretch unthinned as CSV."""
    since, until = _stretch(since, until)
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
    """Sample this often from now on."""
    telemetry = services_of(request).telemetry
    telemetry.set_rate(body.hertz)
    return RateBody(hertz=telemetry.rate)


@router.post("/telemetry/processes", status_code=204)
def watch(request: Request, body: ProcessBody) -> None:
    """Measure the window's process too, until it ends."""
    services_of(request).telemetry.add_process(body.role, body.pid)


@router.get("/markers")
def markers(request: Request, since: float | None = None, until: float | None = None) -> tuple[Marker, ...]:
    """Return what happened in a stretch, oldest first."""
    since, until = _stretch(since, until)
    return services_of(request).telemetry.markers(since, until)


@router.get("/answers")
def answers(
    request: Request, since: float | None = None, limit: int = Query(500, ge=1, le=5000)
) -> tuple[Message, ...]:
    """Return finished answers with their measurements, newest first."""
    return services_of(request).chats.answers(since=since, limit=limit)


def _stretch(since: float | None, until: float | None) -> tuple[float, float]:
    end = time.time() if until is None else until
    return (end - LAST_SECONDS if since is None else since), end
