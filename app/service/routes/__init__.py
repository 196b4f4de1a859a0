"""One APIRouter a subject; handlers get what they need from `services_of(request)`."""

from __future__ import annotations

from fastapi import APIRouter


def all_routers() -> list[APIRouter]:
    """Return the routers of all subjects."""
    from app.service.routes import (
        chats,
        engine,
        events,
        forecast,
        log,
        models,
        openai,
        preferences,
        presets,
        telemetry,
    )

    subjects = (engine, openai, events, log, preferences, chats, presets, models, telemetry, forecast)
    return [subject.router for subject in subjects]
