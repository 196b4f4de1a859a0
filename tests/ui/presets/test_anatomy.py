"""Anatomy, RoPE offer and pasted configurations on the Presets page, as a person meets them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PySide6.QtCore import QObject, QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.models.anatomy_tensors import Anatomy, read_anatomy
from app.models.card import ModelCard, read_card
from app.models.hf_config import Explanation, explain
from app.shared.errors import ModelFileMissing, PultError
from app.ui.i18n import set_language
from app.ui.pages.presets.anatomy_chart import ActiveChart, count_words
from app.ui.pages.presets.anatomy_explain import ExplainDialog
from app.ui.pages.presets.anatomy_view import AnatomyView
from app.ui.pages.presets.page import PresetsPage
from app.ui.window_memory import WindowMemory
from tests import models_for_tests as models
from tests.ui.presets.test_page import FakeState


class Client:
    """Reads the files themselves."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def anatomy(self, path: str) -> Anatomy:
        self.asked.append(path)
        return read_anatomy(Path(path))

    def forecast(self, *_words: Any, **_more: Any) -> Any:
        raise PultError("Forecasts are not what this is about.")

    forecast_error = fit = forecast

    def explain_config(self, text: str) -> Explanation:
        return explain(text)


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelCard, ...]:
    folder = tmp_path_factory.mktemp("models")
    return (
        read_card(models.tiny_moe(folder / "moe.gguf", context=40960)),
        read_card(models.tiny_dense(folder / "dense.gguf")),
        read_card(models.tiny_hybrid(folder / "hybrid.gguf")),
    )


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def page(
    themed: QApplication, qtbot: QtBot, cards: tuple[ModelCard, ...], client: Client
) -> Iterator[PresetsPage]:
    state = FakeState()
    state.models, state.model = cards, None

    def run(parent: QObject, work: Any, *, done: Any = None, failed: Any = None) -> None:
        try:
            told = work(client)
        except PultError as error:
            failed(error)
        else:
            done(told)

    context = SimpleNamespace(
        state=state,
        operations=SimpleNamespace(run=run),
        toast=lambda *_words, **_more: None,
        settings=WindowMemory(),
    )
    made = PresetsPage(context)  # type: ignore[arg-type]  # only what the page uses
    qtbot.addWidget(made)
    made.resize(1848, 900)
    made.show()
    yield made


def test_a_wide_window_has_the_anatomy_beside_the_form(page: PresetsPage, client: Client) -> None:
    assert page.anatomy.isVisible() and not page.anatomy_button.isVisible()
    view = page.anatomy.view
    assert len(client.asked) == 1
    assert "Heads, KV heads: 4, 2" in view.facts_shown()
    assert "Experts, trained k: 8, 2" in view.facts_shown()
    assert "Output matrix: its own" in view.facts_shown()
    assert view.chart.isVisible()
    assert view.active.text().startswith("With 2 of 8 experts ")
    assert "shape the weights were trained in" in view.reason.text()
    assert view.bar.accessibleName().startswith("Weights by part: ")
    page.form.rows["experts"].edited.emit(5)
    assert view.active.text().startswith("With 5 of 8 experts ")
    assert len(client.asked) == 1  # the header is read once


def test_other_models_say_what_they_are(page: PresetsPage, cards: tuple[ModelCard, ...]) -> None:
    view = page.anatomy.view
    page._choose_model(cards[1].path)
    assert not view.chart.isVisible() and view.active.text().startswith("All ")
    assert not any("Experts" in fact for fact in view.facts_shown())
    page._choose_model(cards[2].path)
    assert "Attention, recurrent: 1, 3" in view.facts_shown()


def test_a_file_that_is_gone_is_a_sentence_and_asked_for_once(
    page: PresetsPage, client: Client, cards: tuple[ModelCard, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(path: str) -> Anatomy:
        client.asked.append(path)
        raise ModelFileMissing("There is no file {path}. Choose another one.", path=path)

    monkeypatch.setattr(client, "anatomy", gone)
    before = len(client.asked)
    page._choose_model(cards[1].path)
    assert page.anatomy.view.message.isVisible()
    assert "There is no file" in page.anatomy.view.message.text()
    page.form.rows["temperature"].edited.emit(0.3)
    assert len(client.asked) == before + 1


def test_a_narrow_window_has_a_button_and_a_dialog(page: PresetsPage, qtbot: QtBot) -> None:
    page.resize(1208, 736)
    assert not page.anatomy.isVisible() and page.anatomy_button.isVisible()
    dialog = page.anatomy.open_dialog(page)
    view = next(iter(dialog.findChildren(AnatomyView)))
    assert view.active.text().startswith("With 2 of 8 experts ")
    dialog.reject()
    assert page.anatomy._views == [page.anatomy.view]


def test_the_column_never_squeezes_the_form(page: PresetsPage) -> None:
    beside = []
    for width in (1440, 1500, 1560, 1700, 1848, 2400):
        page.resize(width, 800)
        assert page.anatomy.isVisible() != page.anatomy_button.isVisible()
        if page.anatomy.isVisible():
            beside.append(width)
            assert page.anatomy.view.needed_width() <= page.anatomy.width() <= 520
            assert page.form.width() >= page.form.needed_width()
    assert beside[-3:] == [1700, 1848, 2400] and 1440 not in beside


def test_yarn_that_fits_the_context_is_one_click(page: PresetsPage) -> None:
    form, rope = page.form, page.rope
    form.rows["context"].edited.emit(32768)
    assert not rope.fit.isVisibleTo(rope) and not rope.warning.isVisibleTo(rope)
    assert "Trained on 40,960" in rope.line.text() and "theta 10,000" in rope.line.text()
    form.rows["context"].edited.emit(131072)
    assert rope.fit.isVisibleTo(rope) and rope.fit.text() == "Fits your context: YaRN ×4"
    assert "nothing stretches" in rope.warning.text()
    rope.fit.click()
    values = form.values()
    assert (values["rope_scaling"], values["yarn_original_context"]) == ("yarn", 32768)
    assert not rope.fit.isVisibleTo(rope) and not rope.warning.isVisibleTo(rope)
    assert "×4 from 32,768 reaches 131,072" in rope.line.text() and "slowest pairs" in rope.line.text()
    assert page.drafts["books"].values == values
    form.rows["context"].edited.emit(92160)
    assert rope.fit.text() == "Fits your context: YaRN ×3"
    rope.fit.click()
    assert form.values()["yarn_factor"] == 3.0
    assert form.rows["yarn_factor"].field is not None and form.rows["yarn_factor"].field.number() == 3.0
    form.rows["context"].edited.emit(8192)
    assert "short texts get slightly worse" in rope.warning.text()


def test_the_chart_is_read_with_pointer_and_keys(themed: QApplication, qtbot: QtBot) -> None:
    chart = ActiveChart()
    qtbot.addWidget(chart)
    chart.resize(400, 168)
    chart.show_amounts([100 * k for k in range(1, 129)], trained=8, chosen=None)
    chart.show()
    seen: list[int | None] = []
    chart.pointed.connect(seen.append)
    area = chart._area()
    qtbot.mouseMove(chart, QPoint(int(area.left()) + 2, 60))
    QTest.keyClick(chart, Qt.Key.Key_End)
    QTest.keyClick(chart, Qt.Key.Key_Left)
    QTest.keyClick(chart, Qt.Key.Key_PageDown)
    assert seen[-3:] == [128, 127, 117]
    assert "8 experts: 800" in chart.accessibleDescription()
    assert chart.ticks()[0] == 0 and 2 <= len(chart.ticks()) <= 5
    for amounts in ([5], [10**9 * k for k in range(1, 9)], list(range(1, 1025))):
        chart.show_amounts(amounts, trained=1, chosen=len(amounts))
        assert not chart.grab().isNull()
        assert all(tick <= max(amounts) for tick in chart.ticks())


def test_counts_in_words(themed: QApplication) -> None:
    assert [count_words(n) for n in (64, 8_574, 8_574_144, 3_353_020_416, 30_532_122_624)] == [
        "64",
        "8.57 k",
        "8.57 M",
        "3.35 B",
        "30.5 B",
    ]


def test_a_pasted_config_is_explained_and_applied(page: PresetsPage, qtbot: QtBot) -> None:
    dialog = page.explain()
    assert not dialog.apply.isEnabled()
    told = {
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
        "num_experts_per_tok": 4,
        "temperature": 99,
        "a_key": "<b>bold</b>",
    }
    dialog.area.setPlainText(json.dumps(told))
    qtbot.waitUntil(lambda: bool(dialog.told.plain_text()))
    text = dialog.told.plain_text()
    assert "The router sends each token to 4 experts" in text
    assert "Temperature is 99. It takes 0 to 5." in text
    assert "a_key = <b>bold</b>" in text and "Not known to Pult." in text
    assert "1 of them not known" in dialog.summary.text() and "Experts per token: 4" in dialog.summary.text()
    dialog.apply.click()
    values = page.form.values()
    assert (values["experts"], values["rope_scaling"], values["yarn_original_context"]) == (4, "yarn", 32768)
    assert values["temperature"] == 0.5 and "books" in page.drafts


def test_what_is_no_configuration_is_said_in_the_dialog(page: PresetsPage, tmp_path: Path) -> None:
    dialog = page.explain()
    dialog.explain("<html>")
    assert "not JSON" in dialog.summary.text() and not dialog.apply.isEnabled()
    (tmp_path / "config.json").write_text('{"top_k": 20, "num_hidden_layers": 48}', encoding="utf-8")
    dialog.explain_file(tmp_path / "config.json")
    assert "48 layers deep" in dialog.told.plain_text()
    dialog.explain_file(tmp_path / "none.json")
    assert "cannot be read" in dialog.summary.text()
    dialog.explain("")
    assert dialog.summary.text() == ""
    dialog.reject()


def test_everything_is_said_in_russian(page: PresetsPage, qtbot: QtBot, cards: tuple[ModelCard, ...]) -> None:
    set_language("ru")
    try:
        view = AnatomyView()
        qtbot.addWidget(view)
        view.show_anatomy(read_anatomy(Path(cards[0].path)), None)
        assert view.active.text().startswith("С 2 экспертами из 8")
        dialog = ExplainDialog(page.context.operations, "books", page)
        dialog.explain(json.dumps({"num_hidden_layers": 48, "use_cache": True}))
        text = dialog.told.plain_text()
        assert "48" in text and "слоёв" in text and "да" in text and "use_cache = true" in text
        dialog.reject()
    finally:
        set_language("en")
