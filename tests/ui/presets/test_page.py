"""The Presets page as a person uses it: look, change, switch, save, revert, delete and undo, compare, load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.forecast.layout import DeviceLayout, Layout
from app.forecast.verdict import DeviceMemory, forecast_of
from app.models.card import ModelCard
from app.shared.engine import LoadedModel
from app.shared.errors import BadValue, PultError
from app.shared.forecast import FitAnswer, Forecast, ForecastError, ForecastRecord, Keep, sentence
from app.shared.presets import Preset, preset_toml
from app.shared.units import GIB, MIB
from app.ui.pages.presets.forecast_view import PLAIN
from app.ui.pages.presets.page import PresetsPage
from app.ui.window_memory import WindowMemory

MOE = ModelCard(
    path="/m/moe.gguf",
    name="Qwen3-30B-A3B",
    architecture="qwen3moe",
    quantisation="Q4_K_M",
    file_bytes=18_560_000_000,
    weight_bytes=18_550_000_000,
    layers=48,
    attention_layers=48,
    experts=128,
    experts_used=8,
    trained_context=40_960,
    kv_heads=4,
    key_length=128,
    value_length=128,
)
DENSE = ModelCard(path="/m/dense.gguf", name="Qwen3-8B", architecture="qwen3", layers=36)
LOADED = LoadedModel(id="moe", name="Qwen3-30B-A3B", path=MOE.path, preset="fast", values={"context": 4096})


class FakeState(QObject):
    """The mirror, filled by hand."""

    presetsChanged = Signal()  # noqa: N815 - as AppState has it
    modelsChanged = Signal()  # noqa: N815
    engineChanged = Signal(object)  # noqa: N815

    def __init__(self) -> None:
        super().__init__()
        self.presets: tuple[Preset, ...] = (
            Preset(name="books", description="long texts", values={"context": 65536, "temperature": 0.5}),
            Preset(name="mine", values={}),
            Preset(name="fast", values={"context": 4096}, shipped=True),
        )
        self.models: tuple[ModelCard, ...] = (MOE, DENSE)
        self.model: LoadedModel | None = LOADED
        self.preset: str | None = "books"
        self.answering = False
        self.client: FakeClient | None = None

    def fetch_presets(self) -> None:
        self.presetsChanged.emit()


@dataclass
class FakeClient:
    """Keeps presets in the state it is given."""

    state: FakeState
    calls: list[tuple[str, Any]] = field(default_factory=list)

    def save_preset(self, preset: Preset) -> Preset:
        self.calls.append(("save", preset))
        kept = preset.model_copy(update={"shipped": False, "shadows": preset.shipped})
        self.state.presets = tuple(kept if each.name == preset.name else each for each in self.state.presets)
        if kept not in self.state.presets:
            self.state.presets += (kept,)
        return kept

    def preset_toml(self, name: str) -> str:
        return preset_toml(next(each for each in self.state.presets if each.name == name))

    def remove_preset(self, name: str) -> None:
        self.state.presets = tuple(each for each in self.state.presets if each.name != name)

    def import_preset(self, toml: str, name: str | None = None) -> Preset:
        from app.shared.presets import parse_preset

        return self.save_preset(parse_preset(toml, name=name or "imported"))

    def forecast(self, path: str, *, preset: str, values: dict[str, Any]) -> Forecast:
        self.calls.append(("forecast", (path, preset, values)))
        if values.get("context") == 300:
            raise BadValue("{label} is {value}. It takes more.", key="context", label="Context", value=300)
        context = int(values.get("context", 8192))
        memory = {
            "CUDA0": DeviceMemory(free_bytes=20 * GIB, capacity_bytes=24 * GIB, overhead_bytes=600 * MIB)
        }
        gpu = DeviceLayout(name="CUDA0", kind="gpu", weights_bytes=10 * GIB, kv_bytes=context * MIB // 8)
        layout = Layout(exact=values.get("mmap", True), devices=(gpu,), context=context)
        return forecast_of(layout, memory, model_path=path, values=values)

    def forecast_error(self) -> ForecastError:
        record = ForecastRecord(
            at=1.0,
            model=MOE.path,
            device="CUDA0",
            kind="gpu",
            exact=True,
            forecast_bytes=1010,
            measured_bytes=1000,
        )
        return ForecastError(records=(record, record))

    def fit(self, path: str, *, preset: str, values: dict[str, Any], keep: Keep) -> FitAnswer:
        fitted = {**values, "context": 16384}
        told = self.forecast(path, preset=preset, values=fitted)
        gave_up = (sentence("The context is {after} tokens instead of {before}.", after=16384, before=65536),)
        return FitAnswer(
            found=True, keep=keep, values=fitted, changed={"context": 16384}, gave_up=gave_up, forecast=told
        )

    def load(self, path: str, *, preset: str, values: dict[str, Any]) -> None:
        self.calls.append(("load", (path, preset, values)))


@dataclass
class Desk:
    page: PresetsPage
    state: FakeState
    client: FakeClient
    toasts: list[tuple[str, Callable[[], None] | None]]

    def edit(self, key: str, value: Any) -> None:
        row = self.page.form.rows[key]
        if row.field is not None:
            row.field.lineEdit().selectAll()
            QTest.keyClicks(row.field.lineEdit(), str(value))
            QTest.keyClick(row.field.lineEdit(), Qt.Key.Key_Return)
        else:
            row.edited.emit(value)


@pytest.fixture
def desk(themed: QApplication, qtbot: QtBot) -> Iterator[Desk]:
    state = FakeState()
    client = FakeClient(state)
    toasts: list[tuple[str, Callable[[], None] | None]] = []

    def run(parent: QObject, work: Any, *, done: Any = None, failed: Any = None) -> None:
        try:
            told = work(client)
        except PultError as error:
            failed(error)
            return
        if done is not None:
            done(told)

    context = SimpleNamespace(
        state=state,
        operations=SimpleNamespace(run=run),
        toast=lambda text, *, action=None, on_action=None: toasts.append((text, on_action)),
        settings=WindowMemory(),
    )
    page = PresetsPage(context)  # type: ignore[arg-type]  # only what the page uses
    qtbot.addWidget(page)
    page.resize(1208, 736)
    page.show()
    yield Desk(page, state, client, toasts)


def test_presets_are_listed_by_group_and_found_by_words(desk: Desk) -> None:
    assert desk.page.list.names() == ["books", "mine", "fast"]
    desk.page.list.search.setText("long")
    assert desk.page.list.names() == ["books"]


def test_a_change_makes_a_draft_that_survives_looking_elsewhere(desk: Desk) -> None:
    desk.edit("context", 32768)
    assert desk.page.drafts["books"].values == {"context": 32768, "temperature": 0.5}
    assert desk.page.reveal("preset", "mine")
    assert desk.page.form.values() == {}
    desk.page.reveal("preset", "books")
    assert desk.page.form.values() == {"context": 32768, "temperature": 0.5}
    desk.edit("context", 65536)
    assert desk.page.drafts == {}


def test_drafts_are_remembered_by_the_window(desk: Desk) -> None:
    desk.edit("temperature", 0.9)
    desk.page.save_layout()
    desk.page.drafts.clear()
    desk.page.restore_layout()
    assert desk.page.form.values()["temperature"] == 0.9


def test_saving_writes_the_values_and_a_shipped_one_becomes_mine(desk: Desk) -> None:
    desk.page.reveal("preset", "fast")
    desk.edit("experts", 4)
    desk.page.save_now()
    assert desk.client.calls[-1][1].values == {"context": 4096, "experts": 4}
    assert desk.page.drafts == {}
    assert "your own version" in desk.toasts[-1][0]
    desk.page.save_now()
    assert len(desk.client.calls) == 1


def test_reverting_can_be_undone(desk: Desk) -> None:
    desk.edit("temperature", 0.9)
    desk.page.revert_now()
    assert desk.page.form.values()["temperature"] == 0.5 and desk.page.drafts == {}
    again = desk.toasts[-1][1]
    assert again is not None
    again()
    assert desk.page.form.values()["temperature"] == 0.9


def test_deleting_can_be_undone_with_unsaved_changes(desk: Desk) -> None:
    desk.edit("temperature", 0.9)
    desk.page.remove_now()
    assert "books" not in desk.page.list.names()
    undo = desk.toasts[-1][1]
    assert undo is not None
    undo()
    assert desk.page.current is not None and desk.page.current.name == "books"
    assert desk.page.form.values() == {"context": 65536, "temperature": 0.9}
    desk.page.reveal("preset", "fast")
    desk.page.remove_now()
    assert "fast" in desk.page.list.names()


def test_loading_takes_what_the_form_shows_saved_or_not(desk: Desk) -> None:
    desk.page.load_now()
    assert desk.client.calls[-1] == ("load", (MOE.path, "books", {}))
    desk.edit("temperature", 0.6)  # the default: it leaves the preset
    desk.edit("experts", 12)
    desk.page.load_now()
    assert desk.client.calls[-1][1][2] == {"context": 65536, "temperature": None, "experts": 12}


def test_a_refused_number_changes_nothing_and_says_why(desk: Desk) -> None:
    desk.edit("experts", 129)
    row = desk.page.form.rows["experts"]
    assert "129" in row.problem.text() and not row.problem.isHidden()
    assert desk.page.drafts == {}
    desk.edit("experts", 16)
    assert row.problem.isHidden() and desk.page.drafts["books"].values["experts"] == 16


def test_the_model_sets_bounds_and_greys_what_does_not_apply(desk: Desk) -> None:
    rows = desk.page.form.rows
    assert rows["experts"].toolTip() == ""
    desk.page._choose_model(DENSE.path)
    assert rows["experts"].toolTip() == "This model has no experts."
    assert rows["yarn_factor"].toolTip() == "Acts only with RoPE scaling YaRN."
    rows["rope_scaling"].edited.emit("yarn")
    assert rows["yarn_factor"].toolTip() == ""


def test_values_that_do_not_go_together_stop_the_load_with_the_sentence(desk: Desk) -> None:
    desk.page.form.rows["flash_attention"].edited.emit("off")
    desk.page.form.rows["kv_v"].edited.emit("q8_0")
    assert "flash attention off" in desk.page.form.rows["kv_v"].problem.text()
    desk.page.load_now()
    assert [call for call in desk.client.calls if call[0] == "load"] == []


def test_rows_that_differ_from_what_is_loaded_are_marked_and_compared(desk: Desk) -> None:
    rows = desk.page.form.rows
    assert [key for key, row in rows.items() if row.stage.changed] == ["context", "temperature"]
    assert desk.page.panel.differences_shown() == [
        "Context length: 4,096 becomes 65,536",
        "Temperature: 0.6 becomes 0.5",
    ]


def test_memory_is_arithmetic_from_the_header(desk: Desk) -> None:
    # 65,536 tokens × 48 layers × 4 heads × (128 + 128) × 2 bytes = 6 GiB
    assert desk.page.panel.memory_shown()[:2] == ["Weights: 17.3 GiB", "KV cache: 6.0 GiB"]
    desk.page.form.rows["kv_v"].edited.emit("q8_0")
    assert desk.page.panel.memory_shown()[1] == "KV cache: 4.6 GiB"
    desk.page._choose_model(DENSE.path)
    assert desk.page.panel.memory_shown() == ["Weights: –", "KV cache: –"]


def test_the_explanation_unfolds_under_the_focused_row_only(desk: Desk, qtbot: QtBot) -> None:
    desk.page.activateWindow()
    qtbot.waitUntil(desk.page.isActiveWindow)
    assert desk.page.reveal("setting", "context")
    qtbot.waitUntil(lambda: desk.page.form.rows["context"].unfolded)
    assert desk.page.reveal("setting", "mlock")
    qtbot.waitUntil(lambda: desk.page.form.rows["mlock"].unfolded)
    assert [key for key, row in desk.page.form.rows.items() if row.unfolded] == ["mlock"]
    assert not desk.page.reveal("setting", "no such")


def test_ctrl_s_saves_and_ctrl_enter_loads(desk: Desk, qtbot: QtBot) -> None:
    desk.page.activateWindow()
    qtbot.waitUntil(desk.page.isActiveWindow)
    desk.edit("temperature", 0.9)
    desk.page.list.list.setFocus()
    qtbot.keyClick(desk.page.list.list, Qt.Key.Key_S, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(desk.page.list.list, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert [call[0] for call in desk.client.calls] == ["save", "load"]


def test_the_forecast_takes_the_arithmetics_place(desk: Desk, qtbot: QtBot) -> None:
    view = desk.page.panel.forecast
    qtbot.waitUntil(view.isVisible)
    assert view.verdict.word.text() == "Fits" and view.verdict.badge.text == "exact"
    spoken = view.blocks["CUDA0"].accessibleName().replace("\u00a0", " ")
    assert (
        "Weights 10.0 GiB" in spoken and "KV cache 8.0 GiB" in spoken and "Other programs 4.0 GiB" in spoken
    )
    assert view.error.words.text() == "1.0% over 2 loads"
    desk.edit("context", 131072)
    qtbot.waitUntil(lambda: view.verdict.word.text() == "Does not fit")
    assert "Missing 6.6" in view.blocks["CUDA0"].accessibleName()
    desk.edit("mmap", False)
    qtbot.waitUntil(lambda: view.verdict.badge.text == "arithmetic")


def test_moves_of_a_slider_are_asked_once_they_calm(desk: Desk, qtbot: QtBot) -> None:
    qtbot.waitUntil(desk.page.panel.forecast.isVisible)
    before = len(desk.client.calls)
    for context in range(8192, 40960, 1024):
        desk.page.panel.show_values({"context": context})
    qtbot.waitUntil(lambda: len(desk.client.calls) > before)
    asked = [call for call in desk.client.calls[before:] if call[0] == "forecast"]
    assert [values["context"] for _, (_, _, values) in asked] == [39936]


def test_a_value_that_may_not_be_is_said_in_its_place(desk: Desk, qtbot: QtBot) -> None:
    view = desk.page.panel.forecast
    qtbot.waitUntil(view.isVisible)
    desk.page.panel.show_values({"context": 300})
    qtbot.waitUntil(lambda: view.verdict.word.text() == "No forecast")
    assert "300" in view.verdict.headline.text() and not view.blocks


def test_fit_makes_a_draft_and_says_what_it_gave_up(desk: Desk, qtbot: QtBot) -> None:
    qtbot.waitUntil(desk.page.panel.forecast.isVisible)
    actions = {action.text(): action for action in desk.page.panel.fit.menu.actions()}
    assert list(actions) == ["Keep the context", "Keep the speed", "Keep the cache's precision"]
    actions["Keep the speed"].trigger()
    assert desk.page.drafts["books"].values["context"] == 16384
    assert desk.page.panel.gave_up.text() == "The context is 16,384 tokens instead of 65,536."
    assert desk.page.panel.gave_up.isVisible()
    desk.edit("context", 8192)
    assert not desk.page.panel.gave_up.isVisible()


def test_sentences_without_values_are_marked_as_they_are_made() -> None:
    root = Path(__file__).resolve().parents[3] / "app"
    made = (root / "forecast" / "fit.py", root / "service" / "engine" / "llama" / "dry_run.py")
    source = "".join(path.read_text(encoding="utf-8") for path in made)
    assert all(f'"{plain}"' in source for plain in PLAIN)
