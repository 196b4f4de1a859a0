"""The stream of everything that happens, and the snapshot it starts from."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from app import __version__
from app.service.services import Services, services_of
from app.shared.events import State
from app.shared.telemetry import TelemetrySample

router = APIRouter()
KEEP_ALIVE_SECONDS = 10.0


def snapshot(services: Services, latest: TelemetrySample | None) -> State:
    """Return the present state; waits for nothing that publishes."""
    engine = services.engine.state()
    return State(
        version=__version__,
        address=services.address,
        engine=engine,
        preset=engine.model.preset if engine.model is not None else None,
        answering=services.answers.writing(),
        telemetry=latest,
        engine_version=services.engine.engine_name,
    )


@router.get("/api/state")
def state(request: Request) -> State:
    """Return the snapshot that a new listener would start from."""
    services = services_of(request)
    latest = services.telemetry.latest()
    with services.hub.order:
        return snapshot(services, latest)


@router.get("/events")
async def events(request: Request) -> StreamingResponse:
    """Stream server-sent events; a comment every ten quiet seconds keeps the connection alive."""
    services = services_of(request)

    async def stream() -> AsyncIterator[bytes]:
        yield b"retry: 1000\n\n"
        heard = services.hub.subscribe(
            lambda: snapshot(services, services.telemetry.latest()), quiet_seconds=KEEP_ALIVE_SECONDS
        )
        async for numbered in heard:
            if numbered is None:
                yield b": alive\n\n"
                continue
            number, event = numbered
            yield f"id: {number}\ndata: {event.model_dump_json()}\n\n".encode()

    return StreamingResponse(
        stream(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
