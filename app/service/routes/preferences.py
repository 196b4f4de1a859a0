"""What the window and the service remember about a person's taste."""

from __future__ import annotations

from fastapi import APIRouter, Request

from app.service.services import services_of
from app.shared.engine import JsonObject

router = APIRouter(prefix="/api/preferences")


@router.get("")
def preferences(request: Request) -> JsonObject:
    """Return all preferences."""
    return dict(services_of(request).preferences.all())


@router.put("")
def change(request: Request, changes: JsonObject) -> JsonObject:
    """Set the given preferences and return all."""
    kept = services_of(request).preferences
    for key, value in changes.items():
        kept.set(key, value)
    return dict(kept.all())
