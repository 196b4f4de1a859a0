"""From what was asked to a plan: presets, values over them, files, servers, each wrong one refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.service.load_plans import plan_for
from app.service.main import running_services
from app.service.services import Services
from app.shared.engine import RemoteServer
from app.shared.errors import BadRequest, BadValue, ModelFileMissing, ModelUnreadable, NotFound
from app.shared.presets import Preset
from tests.models_for_tests import tiny_dense, tiny_moe


@pytest.fixture
def services() -> Iterator[Services]:
    with running_services(
        engine="llama", address="http://127.0.0.1:1", token="token-of-this-test"
    ) as running:
        yield running


def test_values_stand_over_the_presets(services: Services, tmp_path: Path) -> None:
    model = tiny_moe(tmp_path / "tiny.gguf")
    services.presets.save(Preset(name="mine", values={"context": 2048, "experts": 3, "temperature": 0.1}))
    plan = plan_for(services, model=str(model), preset="mine", values={"experts": "4", "temperature": None})
    assert plan.preset == "mine" and plan.model_path == str(model)
    assert plan.values == {"context": 2048, "experts": 4}
    assert plan_for(services, model=str(model)).values == {"context": 512}
    services.presets.set_default("mine", model_path=str(model))
    assert plan_for(services, model=str(model)).values["experts"] == 3
    services.models.opened(model)
    assert plan_for(services, model="tiny").model_path == str(model)


def test_a_model_trained_on_less_than_the_usual_context_gets_what_it_was_trained_on(
    services: Services, tmp_path: Path
) -> None:
    short = tiny_moe(tmp_path / "short.gguf", context=512)
    assert plan_for(services, model=str(short)).values == {"context": 512}
    assert plan_for(services, model=str(short), values={"context": 4096}).values == {"context": 4096}
    long = tiny_moe(tmp_path / "long.gguf", context=40_960)
    assert plan_for(services, model=str(long)).values == {}


def test_what_does_not_fit_is_refused_by_name(services: Services, tmp_path: Path) -> None:
    model, dense = tiny_moe(tmp_path / "tiny.gguf"), tiny_dense(tmp_path / "dense.gguf")
    with pytest.raises(BadRequest, match="either a model file or a remote"):
        plan_for(services)
    with pytest.raises(ModelFileMissing, match="nothing-here"):
        plan_for(services, model="nothing-here")
    with pytest.raises(ModelFileMissing):
        plan_for(services, model=str(tmp_path / "gone.gguf"))
    with pytest.raises(NotFound, match="no-such-preset"):
        plan_for(services, model=str(model), preset="no-such-preset")
    with pytest.raises(BadValue, match="1 to 8"):
        plan_for(services, model=str(model), values={"experts": 9})
    with pytest.raises(BadValue, match="has no experts"):
        plan_for(services, model=str(dense), values={"experts": 2})
    with pytest.raises(BadValue, match="Did you mean context"):
        plan_for(services, model=str(model), values={"contxt": 512})
    page = tmp_path / "page.gguf"
    page.write_text("<html>")
    with pytest.raises(ModelUnreadable):
        plan_for(services, model=str(page))


def test_a_server_by_itself_or_by_its_saved_name(services: Services) -> None:
    server = RemoteServer(name="big", url="http://10.0.0.2:8000/v1", key="k")
    services.models.save_remote(server)
    assert plan_for(services, remote="big").remote == server
    assert plan_for(services, remote=server, values={"temperature": 0.5}).values == {"temperature": 0.5}
    with pytest.raises(NotFound, match="small"):
        plan_for(services, remote="small")
