"""What a model would take of memory, settings that fit, and how good the forecasts have been."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from app.service.forecast.desk import ForecastDesk
from app.service.load_plans import plan_for
from app.service.services import Services, services_of
from app.shared import paths
from app.shared.engine import LoadPlan, SettingValue
from app.shared.errors import Conflict
from app.shared.forecast import FitAnswer, Forecast, ForecastError, Keep

router = APIRouter(prefix="/api/forecast")


class ForecastBody(BaseModel):
    """A model (path or known name; default: what is loaded, else the guide), a preset, and values over the preset's."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    preset: str | None = None
    values: dict[str, SettingValue | None] = {}


class FitBody(ForecastBody):
    """`keep` names what is given up last; `margin_bytes` is left free on every device, by default enough not to be tight."""

    keep: Keep = "context"
    margin_bytes: int | None = Field(default=None, ge=0)


@router.post("")
def forecast(request: Request, body: ForecastBody) -> Forecast:
    """Return what loading would take of each device and whether it fits."""
    services = services_of(request)
    return _desk(services).forecast(_plan(services, body))


@router.post("/fit")
def fit(request: Request, body: FitBody) -> FitAnswer:
    """Return the nearest settings that fit, and what was given up for it."""
    services = services_of(request)
    plan = _plan(services, body)
    facts = services.models.facts(plan.model_path or "")
    return _desk(services).fit(plan, facts, keep=body.keep, margin_bytes=body.margin_bytes)


@router.get("/error")
def error(request: Request) -> ForecastError:
    """Return the running error by device and the last loads."""
    return _desk(services_of(request)).error()


def _desk(services: Services) -> ForecastDesk:
    if services.forecasts is None:
        raise Conflict("This service was started without forecasts. Start it with pult serve.")
    return services.forecasts


def _plan(services: Services, body: ForecastBody) -> LoadPlan:
    model = body.model
    if model is None:
        loaded = services.engine.state().model
        model = loaded.path if loaded is not None and loaded.path else str(paths.guide_model())
    return plan_for(services, model=model, preset=body.preset, values=body.values)
