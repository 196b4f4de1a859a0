"""Rail, strip, palette, picker, sheet, notices, drops: driven as a person would, on a fake service."""

from __future__ import annotations

from itertools import pairwise

import pytest
from PySide6.QtCore import QEvent, QObject, QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from app.shared.chats import SearchHit
from app.shared.engine import EngineStatus, LoadedModel
from app.shared.errors import EngineDied, ModelFileMissing, OutOfMemory, ServiceUnreachable, StorageFailed
from app.shared.events import Problem, Telemetry
from app.ui.controls import Label
from app.ui.i18n import Language, language, set_language
from app.ui.main_window import MainWindow
from app.ui.shell.model_picker import ModelPicker
from app.ui.shell.palette import Palette
from app.ui.shell.shortcut_sheet import ShortcutSheet
from app.ui.shell.strip_readouts import Cell
from app.ui.theme import theme
from tests.ui.shell.conftest import MOE, Stage, chat, ready, telemetry


def test_model_cell_follows_the_engine(stage: Stage, qtbot: QtBot) -> None:
    cell = stage.window.strip.model
    assert cell.name.text() == "Choose a model…"
    stage.client.set_engine(status=EngineStatus.LOADING, loading="moe", progress=0.4)
    qtbot.waitUntil(lambda: cell.cancel.isVisible())
    assert cell.bar.isVisible() and cell.share.text() == "40%" and not cell.eject.isVisible()
    qtbot.mouseClick(cell.cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(stage.client.asked("cancel")))
    ready(stage.client)
    qtbot.waitUntil(lambda: cell.eject.isVisible())
    assert cell.name.text() == "Qwen3-30B-A3B" and not cell.bar.isVisible()
    qtbot.mouseClick(cell.eject, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(stage.client.asked("eject")))
    qtbot.mouseClick(cell.reload, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(stage.client.asked("reload")))


def test_loading_over_an_answer_asks_first(stage: Stage, qtbot: QtBot) -> None:
    ready(stage.client, status=EngineStatus.ANSWERING)
    qtbot.waitUntil(lambda: stage.window.state.answering)
    stage.window.take_files(["/models/other.gguf"])
    dialog = QApplication.activeModalWidget()
    assert dialog is not None and not stage.client.asked("load")
    dialog.accept()  # type: ignore[attr-defined]  # a QDialog
    qtbot.waitUntil(lambda: bool(stage.client.asked("load")))
    assert stage.client.asked("load")[0][0] == ("/models/other.gguf",)


def test_experts_apply_by_a_reload_after_a_pause(stage: Stage, qtbot: QtBot) -> None:
    cell = stage.window.strip.experts
    assert not cell.isVisible()
    ready(stage.client)
    qtbot.waitUntil(lambda: cell.isVisible())
    assert cell.value.text() == "8" and not cell.badge.changed
    for _ in range(3):
        qtbot.mouseClick(cell.less, Qt.MouseButton.LeftButton)
    assert cell.value.text() == "5" and cell.badge.changed and not stage.client.asked("load")
    qtbot.waitUntil(lambda: bool(stage.client.asked("load")), timeout=3000)
    (path,), named = stage.client.asked("load")[0]
    assert path == MOE.path and named["values"] == {"experts": 5} and named["preset"] == "dialog"
    assert len(stage.client.asked("load")) == 1


def test_dense_models_have_no_experts_cell_and_thinking_says_why_not(stage: Stage, qtbot: QtBot) -> None:
    ready(stage.client, LoadedModel(id="d", name="dense", path="/d.gguf", architecture="qwen2"))
    qtbot.waitUntil(lambda: stage.window.strip.model.name.text() == "dense")
    assert not stage.window.strip.experts.isVisible()
    thinking = stage.window.strip.thinking
    assert not thinking.switch.isEnabled() and "no thinking" in thinking.switch.toolTip()


def test_thinking_switch_sets_the_value(stage: Stage, qtbot: QtBot) -> None:
    ready(stage.client)
    switch = stage.window.strip.thinking.switch
    qtbot.waitUntil(lambda: switch.isEnabled())
    assert switch.isChecked()
    qtbot.mouseClick(switch, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: stage.client.asked("set_values") == [(({"thinking": False},), {})])


def test_a_preset_of_sampling_acts_at_once_and_another_reloads(stage: Stage, qtbot: QtBot) -> None:
    ready(stage.client)
    qtbot.waitUntil(lambda: stage.window.state.model is not None)
    combo = stage.window.strip.preset.combo
    assert combo.current() == "dialog"
    combo.chosen.emit("calm")
    qtbot.waitUntil(lambda: bool(stage.client.asked("set_values")))
    assert stage.client.asked("set_values")[0][0] == ({"temperature": 0.2},)
    qtbot.waitUntil(lambda: combo.current() == "calm")
    assert not stage.client.asked("load")
    combo.chosen.emit("long")
    qtbot.waitUntil(lambda: bool(stage.client.asked("load")))
    assert stage.client.asked("load")[0][1]["preset"] == "long"


def test_readouts_show_ram_without_a_gpu_and_the_last_speed_quietly(stage: Stage, qtbot: QtBot) -> None:
    strip = stage.window.strip
    assert strip.memory.caption.text() == "RAM"
    assert (strip.memory.readout.value.text(), strip.memory.readout.unit.text()) == ("6.0", "of 24.0\xa0GiB")
    assert strip.speed.readout.value.text() == "–"
    stage.client.say(Telemetry(sample=telemetry(at=1_001.0, speed=128.6)))
    qtbot.waitUntil(lambda: strip.speed.readout.value.text() == "129")
    stage.client.say(Telemetry(sample=telemetry(at=1_002.0)))
    qtbot.waitUntil(lambda: strip.speed.spark.values[-1] == 0.0)
    assert strip.speed.readout.value.text() == "129" and strip.speed.toolTip() == "Of the last answer"


def test_model_picker_searches_and_loads_with_a_preset(stage: Stage, qtbot: QtBot) -> None:
    qtbot.keyClick(stage.window, Qt.Key.Key_L, Qt.KeyboardModifier.ControlModifier)
    picker = stage.window.overlay()
    assert isinstance(picker, ModelPicker)
    titles = [picker.list.rows.row(i).title for i in range(picker.list.rows.rowCount())]
    assert titles == ["Opened before", "Qwen3-8B", "Found on this computer", "Qwen3-30B-A3B"]
    qtbot.keyClicks(picker.field, "30b")
    assert picker.list.rows.rowCount() == 2
    picker.preset.set_current("long")
    qtbot.keyClick(picker.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: bool(stage.client.asked("load")))
    assert stage.client.asked("load")[0] == (("/models/moe.gguf",), {"preset": "long", "values": None})
    assert stage.window.overlay() is None


def test_picker_closes_by_escape_and_by_a_click_beside_it(stage: Stage, qtbot: QtBot) -> None:
    stage.window.choose_model()
    picker = stage.window.overlay()
    assert isinstance(picker, ModelPicker)
    qtbot.keyClick(picker.field, Qt.Key.Key_Escape)
    assert stage.window.overlay() is None
    stage.window.choose_model()
    picker = stage.window.overlay()
    assert picker is not None
    qtbot.mouseClick(picker, Qt.MouseButton.LeftButton, pos=QPoint(1270, 790))
    assert stage.window.overlay() is None


def test_palette_finds_actions_models_settings_and_chats(stage: Stage, qtbot: QtBot) -> None:
    stage.client.hits = (
        SearchHit(chat=chat("Long context"), message_id="m1", snippet="the \ue000cache\ue001 grows"),
    )
    qtbot.keyClick(stage.window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    palette = stage.window.overlay()
    assert isinstance(palette, Palette)

    def titles() -> list[str]:
        return [palette.list.rows.row(i).title for i in range(palette.list.rows.rowCount())]

    assert "New chat" in titles() and "Eject the model" not in titles()
    qtbot.keyClicks(palette.field, "kv cache")
    qtbot.waitUntil(lambda: "Long context" in titles())
    assert any(palette.list.rows.row(i).mono == "kv_k" for i in range(palette.list.rows.rowCount()))
    palette.field.clear()
    qtbot.keyClicks(palette.field, "dark and light")
    assert titles() == ["Actions", "Switch between dark and light"]
    before = theme().name
    qtbot.keyClick(palette.field, Qt.Key.Key_Return)
    assert theme().name != before and stage.window.overlay() is None
    stage.window.toggle_theme()


def test_shortcut_sheet_lists_every_action_with_keys(stage: Stage, qtbot: QtBot) -> None:
    qtbot.keyClick(stage.window, Qt.Key.Key_F1)
    sheet = stage.window.overlay()
    assert isinstance(sheet, ShortcutSheet)
    qtbot.keyClick(stage.window, Qt.Key.Key_F1)
    assert stage.window.overlay() is None
    keys = [key for action in stage.window.actions_table for key in action.keys]
    assert {"Ctrl+K", "Ctrl+N", "Ctrl+L", "Ctrl+,", "F1", "F6", "Esc"} <= set(keys)
    assert len(keys) == len(set(keys))


def test_keys_change_pages_and_f6_goes_round(stage: Stage, qtbot: QtBot) -> None:
    window = stage.window
    qtbot.keyClick(window, Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier)
    assert window.pages.current_id == "settings" and window.rail.item("settings").isChecked()
    qtbot.keyClick(window, Qt.Key.Key_4, Qt.KeyboardModifier.AltModifier)
    assert window.pages.current_id == "log"
    seen = []
    for _ in range(4):
        qtbot.keyClick(window, Qt.Key.Key_F6)
        focus = QApplication.focusWidget()
        assert focus is not None
        seen.append(type(focus).__name__)
    assert seen == ["QPlainTextEdit", "RailItem", "ModelName", "SearchField"] or len(set(seen)) == 4


def test_engine_error_shows_its_remedies_and_goes_when_the_error_goes(stage: Stage, qtbot: QtBot) -> None:
    error = OutOfMemory(
        "It asked for {asked_bytes}; {free_bytes} were free.", asked_bytes=12 * 2**30, free_bytes=2**30
    )
    stage.client.set_engine(status=EngineStatus.FAILED, error=error.info())
    notices = stage.window.notices
    qtbot.waitUntil(lambda: len(notices.banners()) == 1)
    banner = notices.banners()[0]
    assert banner.title.text() == "Memory ran out"
    assert "12.0" in banner.text.text() and "GiB" in banner.text.text()
    assert [button.text() for button in banner.buttons] == ["Edit the preset", "Log"]
    qtbot.mouseClick(banner.buttons[-1], Qt.MouseButton.LeftButton)
    assert stage.window.pages.current_id == "log"
    ready(stage.client)
    qtbot.waitUntil(lambda: not notices.banners())
    assert not notices.isVisible()


def test_a_problem_is_said_once_and_can_be_closed(stage: Stage, qtbot: QtBot) -> None:
    told = StorageFailed("The disk is full. Free some space.").info()
    stage.client.say(Problem(error=told), Problem(error=told))
    notices = stage.window.notices
    qtbot.waitUntil(lambda: len(notices.banners()) == 1)
    notices.banners()[0].closed.emit()
    assert not notices.banners()


def test_a_refused_load_is_said_in_a_banner(stage: Stage, qtbot: QtBot) -> None:
    stage.client.errors["load"] = ModelFileMissing(
        "There is no file {path}. Choose a GGUF file.", path="/x.gguf"
    )
    stage.window.take_files(["/x.gguf"])
    qtbot.waitUntil(lambda: len(stage.window.notices.banners()) == 1)
    banner = stage.window.notices.banners()[0]
    assert "There is no file /x.gguf" in banner.text.text()
    qtbot.mouseClick(banner.buttons[0], Qt.MouseButton.LeftButton)
    assert isinstance(stage.window.overlay(), ModelPicker)


def test_escape_stops_loading_and_answers(stage: Stage, qtbot: QtBot) -> None:
    stage.client.set_engine(status=EngineStatus.LOADING, loading="moe", progress=0.1)
    qtbot.waitUntil(lambda: stage.window.strip.model.cancel.isVisible())
    qtbot.keyClick(stage.window, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: len(stage.client.asked("cancel")) == 1)
    ready(stage.client)
    qtbot.waitUntil(lambda: stage.window.state.model is not None)
    qtbot.keyClick(stage.window, Qt.Key.Key_Escape)
    ready(stage.client, status=EngineStatus.ANSWERING)
    qtbot.waitUntil(lambda: stage.window.state.answering)
    qtbot.keyClick(stage.window, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: len(stage.client.asked("cancel")) == 2)


def test_language_changes_live_and_is_remembered(
    stage: Stage, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = stage.window
    ready(stage.client)
    qtbot.waitUntil(lambda: window.strip.experts.isVisible())
    window.show_page("settings")
    qtbot.mouseClick(window.pages.current_page.language.button("ru"), Qt.MouseButton.LeftButton)  # type: ignore[union-attr]  # SettingsPage
    try:
        qtbot.waitUntil(lambda: language() == "ru" and window.pages.current_id == "settings")
        qtbot.wait(20)
        assert window.strip.experts.isVisible() and window.strip.model.name.text() == "Qwen3-30B-A3B"
        assert window.context.settings.text("language") == "ru"
        assert window.rail.item("settings").isChecked()
    finally:
        set_language("en")
    qtbot.wait(20)
    assert window.rail.item("log").text() == "Log"


def test_a_dead_service_is_started_again_and_the_model_loaded_again(stage: Stage, qtbot: QtBot) -> None:
    window = stage.window
    ready(stage.client)
    qtbot.waitUntil(lambda: window.context.settings.text("last_model") == MOE.path)
    window.loading.start(None, preset=None, values={})
    stage.client.die()
    qtbot.waitUntil(lambda: len(stage.clients) == 2, timeout=5000)
    qtbot.waitUntil(lambda: bool(stage.client.asked("load")), timeout=5000)
    assert stage.client.asked("load")[0][0] == (MOE.path,)
    assert window.state.connected
    assert stage.running[0].closed


def test_a_fault_in_a_callback_is_said_and_logged(stage: Stage, qtbot: QtBot) -> None:
    def broken(_client: object) -> None:
        raise KeyError("nonsense")

    stage.window.operations.run(stage.window, broken)
    qtbot.waitUntil(lambda: len(stage.window.notices.banners()) == 1)
    assert "KeyError" in stage.window.notices.banners()[0].title.text()


def test_worker_death_offers_to_load_again(stage: Stage, qtbot: QtBot) -> None:
    ready(stage.client)
    qtbot.waitUntil(lambda: stage.window.state.model is not None)
    died = EngineDied(
        "The engine was ended by the system while writing with {name}.",
        name="moe",
        remedies=("fit", "edit_preset", "log"),
    )
    stage.client.set_engine(status=EngineStatus.FAILED, error=died.info())
    qtbot.waitUntil(lambda: len(stage.window.notices.banners()) == 1)
    buttons = stage.window.notices.banners()[0].buttons
    assert [button.text() for button in buttons] == ["Edit the preset", "Load again", "Log"]
    qtbot.mouseClick(buttons[1], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(stage.client.asked("reload")))


def test_address_is_copied_with_its_version_path(stage: Stage, qtbot: QtBot) -> None:
    stage.window.resize(1600, 900)
    cell = stage.window.strip.address
    qtbot.waitUntil(lambda: cell.isVisible())
    qtbot.mouseClick(cell.copy, Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == "http://127.0.0.1:1/v1"
    assert stage.window.toast_panel.isVisible()


@pytest.mark.parametrize("tongue_id", ["en", "ru"])
@pytest.mark.parametrize("width", [1100, 1280, 1500, 1920])
def test_the_strip_cuts_no_word_and_overlaps_no_cell(
    stage: Stage, qtbot: QtBot, tongue_id: Language, width: int
) -> None:
    set_language(tongue_id)
    try:
        window = stage.window
        live = MOE.model_copy(update={"switches_experts": True, "experts_used": 16, "preset": None})
        ready(stage.client, live)
        qtbot.waitUntil(lambda: window.strip.experts.isVisible())
        window.resize(width, 800)
        stage.client.say(Telemetry(sample=telemetry(speed=1234.5)))
        qtbot.waitUntil(lambda: window.strip.speed.readout.value.text() != "–")
        qtbot.wait(20)
        cells = [cell for cell in window.strip.findChildren(Cell) if cell.isVisible()]
        cells.sort(key=lambda cell: cell.x())
        for left, right in pairwise(cells):
            assert left.geometry().right() < right.geometry().left()
        assert cells[-1].geometry().right() <= window.strip.width()
        for label in window.strip.findChildren(Label):
            if label.isVisible():
                assert label.width() >= label.sizeHint().width() - 2, label.text()
        combo = window.strip.preset.combo
        assert combo.width() >= combo.sizeHint().width()
    finally:
        set_language("en")
        qtbot.wait(20)


def tab_round(window: MainWindow) -> list[QWidget]:
    """Where Tab stops, from the strip's model on."""
    window.strip.focus_model()
    stops: list[QWidget] = []
    while (focus := window.focusWidget()) is not None and focus not in stops:
        stops.append(focus)
        QTest.keyClick(focus, Qt.Key.Key_Tab)
    return stops


def test_tab_stops_at_the_banner_after_the_strip_and_at_the_page_on_screen(
    stage: Stage, qtbot: QtBot
) -> None:
    window = stage.window
    window.show_page("settings")
    died = EngineDied("The engine ended.", remedies=("edit_preset", "log"))
    stage.client.set_engine(status=EngineStatus.FAILED, error=died.info())
    qtbot.waitUntil(lambda: len(window.notices.banners()) == 1)
    stops = tab_round(window)
    names = [stop.accessibleName() or stop.text() for stop in stops]  # type: ignore[attr-defined]  # buttons
    page = window.pages.current_page
    assert page is not None
    first_of_page = next(i for i, stop in enumerate(stops) if page.isAncestorOf(stop))
    first_of_banner = names.index("Edit the preset")
    assert names[first_of_banner : first_of_banner + 4] == ["Edit the preset", "Load again", "Log", "Close"]
    assert first_of_banner + 4 == first_of_page
    items = [stop for stop in stops if window.rail.isAncestorOf(stop)]
    assert items == [window.rail.item("settings")]
    assert all(names), "everything that Tab stops at has a name"


def test_no_page_opens_a_window_of_its_own_while_it_is_built(stage: Stage, qtbot: QtBot) -> None:
    """A part shown before it has its place is a window for a moment, and takes the keyboard along."""
    shown: list[str] = []

    class Watch(QObject):
        def eventFilter(self, watched: QObject, event: QEvent) -> bool:
            if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
                shown.append(f"{type(watched).__name__} {watched.accessibleName()}")
            return False

    for asked in (
        "forecast",
        "forecast_error",
        "anatomy",
        "telemetry",
        "markers",
        "answers",
    ):  # what the fake does not know
        stage.client.errors[asked] = ServiceUnreachable("not here")
    watch = Watch()
    app = QApplication.instance()
    assert app is not None
    app.installEventFilter(watch)
    try:
        for page in ("presets", "monitor", "settings", "log", "chat"):
            stage.window.show_page(page)
            qtbot.wait(20)
    finally:
        app.removeEventFilter(watch)
    assert shown == []
