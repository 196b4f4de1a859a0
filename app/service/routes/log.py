"""The last log lines."""

from __future__ import annotations

from fastapi import APIRouter, Request

from app.service.services import services_of
from app.shared.events import LogLine

router = APIRouter(prefix="/api")


@router.get("/log")
def log_lines(request: Request, since: float | None = None, limit: int = 2000) -> list[LogLine]:
    """Return the lines after Unix time `since`, oldest first."""
    return list(services_of(request).log.since(since, limit=max(1, min(limit, 5000))))
