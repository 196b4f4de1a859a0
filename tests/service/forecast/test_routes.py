"""Forecasts over HTTP: real stores and the real desk behind the real application, a scripted dry run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from app.service.app import create_app
from app.service.forecast.desk import ForecastDesk
from app.service.models import ModelLibrary
from app.service.presets import PresetStore
from app.shared import paths
from app.shared.engine import EngineState, EngineStatus, LoadedModel
from app.shared.forecast import FitAnswer, Forecast, ForecastError
from tests.models_for_tests import tiny_moe
from tests.service.doubles import TOKEN, headers
from tests.service.forecast.test_desk import ScriptedDryRun, ScriptedMachine


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(tiny_moe(tmp_path / "moe.gguf"))


@pytest.fixture
def state() -> list[EngineState]:
    return [EngineState()]


@pytest.fixture
def http(tmp_path: Path, state: list[EngineState], monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(paths, "guide_model", lambda: tmp_path / "guide.gguf")
    desk = ForecastDesk(
        state=lambda: state[0],
        records=tmp_path / "records.json",
        dry_run=ScriptedDryRun(),  # type: ignore[arg-type]  # the part of it that the desk uses
        machine=ScriptedMachine(),
    )
    services = SimpleNamespace(
        engine=SimpleNamespace(state=lambda: state[0], reads_files=True),
        presets=PresetStore(publish=lambda event: None),
        models=ModelLibrary(publish=lambda event: None),
        forecasts=desk,
        log=SimpleNamespace(crash=lambda *_: None, problem=lambda *_: None),
        address="http://127.0.0.1:80",
        token=TOKEN,
        hosts=("testserver", "testserver:80"),
    )
    with TestClient(create_app(services), headers=headers()) as client:  # type: ignore[arg-type]  # what these routes use
        yield client
    desk.close()
    services.models.close()


def test_a_forecast_by_preset_and_values(http: TestClient, model: str) -> None:
    answer = http.post(
        "/api/forecast", json={"model": model, "preset": "dialog", "values": {"context": 4096}}
    )
    told = Forecast.model_validate(answer.json())
    assert answer.status_code == 200 and told.exact and told.context == 4096
    assert told.values["context"] == 4096 and told.model_path == model
    device = answer.json()["devices"][0]
    assert {"name", "kind", "weights_bytes", "kv_bytes", "compute_bytes", "other_bytes"} <= device.keys()
    assert {"total_bytes", "free_bytes", "fits"} <= device.keys()


def test_without_a_model_it_is_the_loaded_one(http: TestClient, model: str, state: list[EngineState]) -> None:
    assert http.post("/api/forecast", json={}).status_code == 404  # no guide in this folder
    loaded = LoadedModel(id="m", name="m", path=model)
    state[0] = EngineState(status=EngineStatus.READY, model=loaded)
    assert http.post("/api/forecast", json={}).json()["model_path"] == model


def test_wrong_values_are_refused_by_name(http: TestClient, model: str) -> None:
    answer = http.post("/api/forecast", json={"model": model, "values": {"experts": 99}})
    assert answer.status_code == 400 and answer.json()["error"]["values"]["key"] == "experts"
    assert http.post("/api/forecast", json={"modell": model}).status_code == 400


def test_fit_and_the_running_error(http: TestClient, model: str) -> None:
    body = {
        "model": model,
        "values": {"context": 30000, "kv_k": "q4_0", "kv_v": "q4_0"},
        "keep": "kv_precision",
    }
    fitted = FitAnswer.model_validate(http.post("/api/forecast/fit", json=body).json())
    assert fitted.found and fitted.changed and fitted.gave_up and fitted.keep == "kv_precision"
    assert http.post("/api/forecast/fit", json={**body, "keep": "money"}).status_code == 400
    assert ForecastError.model_validate(http.get("/api/forecast/error").json()) == ForecastError()
