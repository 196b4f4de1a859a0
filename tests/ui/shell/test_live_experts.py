"""The strip's experts cell on a model that switches without a reload."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.shared.engine import EngineStatus
from tests.ui.shell.conftest import MOE, Stage, ready

LIVE = MOE.model_copy(update={"experts_switch": "live", "experts_limit": 24})


def test_a_change_acts_with_the_next_answer_and_the_badge_says_so(stage: Stage, qtbot: QtBot) -> None:
    cell = stage.window.strip.experts
    ready(stage.client, LIVE)
    qtbot.waitUntil(lambda: cell.isVisible())
    assert cell.badge.text() == "next answer" and cell.value.text() == "8"
    assert "keeps what it was read with" in cell.value.toolTip()
    qtbot.mouseClick(cell.less, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(cell.less, Qt.MouseButton.LeftButton)
    assert cell.value.text() == "6" and cell.badge.changed
    qtbot.waitUntil(lambda: stage.client.asked("set_values") == [(({"experts": 6},), {})])
    assert not stage.client.asked("load")
    ready(stage.client, LIVE.model_copy(update={"experts_used": 6, "values": {"experts": 6}}))
    qtbot.waitUntil(lambda: not cell.badge.changed)
    assert cell.value.text() == "6"
    ready(stage.client, MOE)
    qtbot.waitUntil(lambda: cell.badge.text() == "reload")
    assert "loaded again" in cell.value.toolTip()


def test_it_ends_where_the_graph_has_no_more_room(stage: Stage, qtbot: QtBot) -> None:
    cell = stage.window.strip.experts
    ready(stage.client, LIVE.model_copy(update={"experts_used": 24}))
    qtbot.waitUntil(lambda: cell.isVisible())
    assert cell.total.text() == "of 128" and "24" in cell.total.toolTip()
    qtbot.mouseClick(cell.more, Qt.MouseButton.LeftButton)
    assert cell.value.text() == "24" and not cell.badge.changed


@pytest.mark.parametrize(("model", "free"), [(LIVE, True), (MOE, False)])
def test_only_a_live_switch_can_be_set_while_an_answer_is_written(
    stage: Stage, qtbot: QtBot, model: object, free: bool
) -> None:
    cell = stage.window.strip.experts
    ready(stage.client, model, status=EngineStatus.ANSWERING)  # type: ignore[arg-type]  # a LoadedModel
    qtbot.waitUntil(lambda: cell.isVisible())
    assert cell.more.isEnabled() is free and cell.slider.isEnabled() is free


def test_a_preset_of_sampling_and_experts_needs_no_reload(stage: Stage, qtbot: QtBot) -> None:
    ready(stage.client, LIVE.model_copy(update={"experts_used": 5, "values": {"experts": 5}}))
    combo = stage.window.strip.preset.combo
    qtbot.waitUntil(lambda: stage.window.state.model is not None)
    combo.chosen.emit("calm")
    qtbot.waitUntil(lambda: bool(stage.client.asked("set_values")))
    assert stage.client.asked("set_values")[0][0] == ({"temperature": 0.2, "experts": 8},)
    assert not stage.client.asked("load")
