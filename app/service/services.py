"""Everything a route may reach, in one typed place. Made once by `app.service.main`, handed to `create_app`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import Request

if TYPE_CHECKING:
    from app.service.answers import Answers
    from app.service.chats.store import ChatStore
    from app.service.engine_desk import EngineDesk
    from app.service.forecast.desk import ForecastDesk
    from app.service.hub import EventHub
    from app.service.log_book import LogBook
    from app.service.models import ModelLibrary
    from app.service.preferences import Preferences
    from app.service.presets import PresetStore
    from app.service.telemetry.sampler import Sampler


@dataclass
class Services:
    """The service's parts. `hosts` are further `Host` names that `--listen` allowed, with their port."""

    engine: EngineDesk
    hub: EventHub
    chats: ChatStore
    answers: Answers
    presets: PresetStore
    models: ModelLibrary
    telemetry: Sampler
    log: LogBook
    preferences: Preferences
    address: str
    token: str
    hosts: tuple[str, ...] = ()
    forecasts: ForecastDesk | None = None  # None in tests that forecast nothing


def services_of(request: Request) -> Services:
    """Return the services of the application that handles `request`."""
    services: Services = request.app.state.services
    return services
