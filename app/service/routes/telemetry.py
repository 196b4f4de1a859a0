"""What the machine did: history, CSV, rate, markers, answers with their measurements."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from app.service.services import services_of
from app.shared.chats import Message
from app.shared.errors import BadRequest
from app.shared.telemetry import Marker, TelemetryHistory

router = APIRouter(prefix="/api")

MOST_POINTS = 20_000
DAY_SECONDS = 24 * 3600.0


class RateBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    hertz: float


class ProcessBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: str
    pid: int


def stretch(since: float | None, until: float | None) -> tuple[float, float]:
    """Return the stretch asked for; by default the last ten minutes. Raises `BadRequest` if it runs backwards."""
    end = time.time() if until is None else until
    start = end - 600.0 if since is None else since
    if not start < end:
        raise BadRequest(
            "The stretch starts at {since} and ends at {until}. It must end later.", since=start, until=end
        )
    return start, end


@router.get("/telemetry")
def history(
    request: Request, since: float | None = None, until: float | None = None, points: int = 1500
) -> TelemetryHistory:
    """Return the samples between two Unix times as columns, thinned to about `points` rows."""
    if not 2 <= points <= MOST_POINTS:
        raise BadRequest("points is {value}. It takes 2 to {most}.", value=points, most=MOST_POINTS)
    start, end = stretch(since, until)
    return services_of(request).telemetry.history(start, end, points)


@router.get("/telemetry.csv")
def as_csv(request: Request, since: float | None = None, until: float | None = None) -> StreamingResponse:
    """Return the same stretch unthinned as CSV; by default the last day."""
    end = time.time() if until is None else until
    start, end = stretch(end - DAY_SECONDS if since is None else since, end)
    return StreamingResponse(
        services_of(request).telemetry.csv(start, end),
        media_type="text/csv",
        headers={"Content-Disposition": 'attachment; filename="pult-telemetry.csv"'},
    )


@router.put("/telemetry/rate")
def rate(request: Request, body: RateBody) -> dict[str, float]:
    """Sample this often, 0.2 to 10 times a second; remembered."""
    services = services_of(request)
    services.telemetry.set_rate(body.hertz)
    services.preferences.set("telemetry_hertz", body.hertz)
    return {"hertz": services.telemetry.rate}


@router.put("/telemetry/process")
def process(request: Request, body: ProcessBody) -> dict[str, int]:
    """Watch another process of Pult's: the window tells its own pid."""
    if body.role != "window" or body.pid <= 0:
        raise BadRequest(
            "Only the window's process can be named here; it got {role} {pid}.", role=body.role, pid=body.pid
        )
    services_of(request).telemetry.add_process(body.role, body.pid)
    return {"pid": body.pid}


@router.get("/markers")
def markers(request: Request, since: float | None = None, until: float | None = None) -> tuple[Marker, ...]:
    """Return what happened between two Unix times; by default in the last day."""
    end = time.time() if until is None else until
    start, end = stretch(end - DAY_SECONDS if since is None else since, end)
    return services_of(request).telemetry.markers(start, end)


@router.get("/answers")
def answers(request: Request, since: float | None = None, limit: int = 500) -> tuple[Message, ...]:
    """Return finished answers with their measurements, newest first."""
    if not 1 <= limit <= 5000:
        raise BadRequest("limit is {value}. It takes 1 to 5,000.", value=limit)
    return services_of(request).chats.answers(since=since, limit=limit)
