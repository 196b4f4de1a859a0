"""One APIRouter a subject; handlers get what they need from `services_of(request)`."""

from __future__ import annotations

import importlib
import importlib.util

from fastapi import APIRouter

SUBJECTS = ("engine", "openai", "events", "log", "preferences", "chats", "presets", "models", "telemetry")


def all_routers() -> list[APIRouter]:
    """Return the routers of all subjects."""
    routers: list[APIRouter] = []
    for subject in SUBJECTS:
        name = f"app.service.routes.{subject}"
        if importlib.util.find_spec(name) is not None:
            routers.append(importlib.import_module(name).router)
    return routers
