"""The Monitor page on an invented machine: what it shows, asks, remembers, exports."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QFileDialog, QMenu
from pytestqt.qtbot import QtBot

import app.ui.charts.stack
import app.ui.pages.monitor.page
from app.service.telemetry.ring import Ring
from app.shared.errors import StorageFailed
from app.shared.telemetry import GpuSample, Marker, sample_columns
from app.ui.i18n import set_language
from app.ui.pages.monitor.page import MonitorPage
from tests.ui.monitor.fakes import ANSWERS, NOW, FakeClient, Window, answer, sample


class Clock:
    """Time standing still at the invented now."""

    @staticmethod
    def time() -> float:
        return NOW


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.ui.pages.monitor.page, "time", Clock)
    monkeypatch.setattr(app.ui.charts.stack, "time", Clock)


Opener = Callable[..., tuple[MonitorPage, Window, FakeClient]]


@pytest.fixture
def opened(themed: QApplication, qtbot: QtBot) -> Iterator[Opener]:
    windows: list[Window] = []

    def open_page(
        *, gpus: int = 1, client: FakeClient | None = None
    ) -> tuple[MonitorPage, Window, FakeClient]:
        client = client if client is not None else FakeClient(gpus=gpus)
        window = Window(client)
        windows.append(window)
        page = MonitorPage(window.context)
        qtbot.addWidget(page)
        page.restore_layout()
        page.resize(1208, 736)
        page.show()
        page.shown()
        window.state._take_telemetry(sample(NOW - 0.01, gpus=gpus))
        qtbot.waitUntil(lambda: window.operations.running == 0 and not page._fetch_timer.isActive())
        page._stack.draw()
        return page, window, client

    yield open_page
    for window in windows:
        window.close()
    set_language("en")


def keys(page: MonitorPage) -> list[str]:
    return [row.track.key for row in page._stack._rows]


def words(page: MonitorPage, key: str) -> tuple[str, str, str]:
    return next(row.words for row in page._stack._rows if row.track.key == key)


def test_one_gpu_shows_its_row_and_six_tracks(opened: Opener) -> None:
    page, _, client = opened()
    assert keys(page) == ["decode", "context", "gpu0.memory", "gpu0.load", "gpu0.power", "ram"]
    assert client.asked("telemetry")
    assert words(page, "gpu0.memory") == ("45.3", "of 95.6 GiB", "engine 21.9\u00a0GiB")
    number, unit, line = words(page, "decode")
    assert (number, unit) == ("0.0", "tokens/s") and line.startswith("max 19")
    assert "J per token" in words(page, "gpu0.power")[2]
    (row,) = page._machine._gpus
    assert row.isVisible() and page._machine_area.height() == row.height() == 58
    assert row.kind.text() == "GPU 0" and row.name.text() == "RTX PRO 6000"


def test_no_gpu_says_why_and_shows_the_machine(opened: Opener) -> None:
    page, _, _ = opened(gpus=0)
    assert keys(page) == ["decode", "prefill", "context", "ram", "cpu", "processes"]
    assert page._machine.note.text() == "No NVIDIA driver is installed. Only RAM and CPU are measured."
    assert page._machine._host is not None and page._machine._host.isVisible()
    assert all(page._table.isColumnHidden(column) for column in page._answers.gpu_columns())


def test_the_reason_is_worded_in_russian_too(opened: Opener) -> None:
    set_language("ru")
    page, _, _ = opened(gpus=0)
    assert page._machine.note.text().startswith("Драйвер NVIDIA")


def test_every_reason_of_the_service_can_be_translated() -> None:
    from app.service.telemetry import nvml
    from app.ui.pages.monitor.machine import GPU_NOTES, THROTTLE_REASONS

    assert set(nvml.THROTTLE_REASONS.values()) == set(THROTTLE_REASONS)
    source = Path(nvml.__file__).read_text(encoding="utf-8")
    assert all(f'"{note}"' in source for note in GPU_NOTES)
    assert source.count("measured.") == len(GPU_NOTES)


def test_two_gpus_and_throttling(opened: Opener) -> None:
    page, _, _ = opened(gpus=2)
    assert [key for key in keys(page) if key.startswith("gpu")] == [
        "gpu0.memory",
        "gpu0.load",
        "gpu1.memory",
        "gpu1.load",
    ]
    first, second = page._machine._gpus
    assert first._throttle.readout.value.text() == "none"
    assert second._throttle.readout.value.text() == "power limit"


def test_eight_gpus_leave_room_for_the_graphs(opened: Opener) -> None:
    page, _, _ = opened(client=FakeClient(gpus=8, seconds=20), gpus=8)
    assert len(page._machine._gpus) == 8
    assert page._machine_area.height() < 200
    assert page._stack.height() > 200
    # The plots are narrower by the scroll bar, and so are the ruler and the axis: times stay in line.
    plot = page._stack._rows[0].plot
    at = NOW - 5
    in_stack = plot.mapTo(page._stack, plot.rect().topLeft()).x() + plot.x_of(at)
    assert page._stack._axis.x_of(at) == pytest.approx(in_stack, abs=1.5)


def test_a_lost_gpu_says_so(opened: Opener) -> None:
    page, window, _ = opened()
    lost = GpuSample(index=0, uuid="GPU-0", name="NVIDIA RTX PRO 6000", lost=True)
    window.state._take_telemetry(sample(NOW + 1).model_copy(update={"gpus": (lost,)}))
    (row,) = page._machine._gpus
    assert row.name.text() == "RTX PRO 6000, lost"
    assert row.memory.readout.value.text() == "–"


def test_live_samples_move_the_graph_until_paused(opened: Opener) -> None:
    page, window, _ = opened()
    before = page._stack.range()[1]
    window.state._take_telemetry(sample(NOW + 1.0))
    assert page._stack.range()[1] == before + 1.01
    page._pause.click()
    assert page._live.isVisible() and not page._stack.following
    window.state._take_telemetry(sample(NOW + 2.0))
    assert page._stack.range()[1] == before + 1.01
    page._live.click()
    assert page._stack.following and not page._live.isVisible()
    assert page._stack.range()[1] == NOW + 2.0


def test_a_hidden_page_draws_nothing_and_keeps_all(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    page, window, _ = opened()
    page.hide()
    drawn: list[int] = []
    monkeypatch.setattr(page._stack, "draw", lambda: drawn.append(1))
    monkeypatch.setattr(page._machine, "show_sample", lambda sample: drawn.append(2))
    for step in range(20):
        window.state._take_telemetry(sample(NOW + 1 + step))
    QApplication.processEvents()
    assert not drawn and page._history.at[-1] == NOW + 20


def test_a_longer_range_is_fetched(opened: Opener, qtbot: QtBot) -> None:
    page, window, client = opened()
    asked = len(client.asked("telemetry"))
    page._ranges.button("86400").click()
    assert page._stack.span_seconds == 86_400
    qtbot.waitUntil(lambda: len(client.asked("telemetry")) > asked and window.operations.running == 0)
    since, until, points = client.asked("telemetry")[-1]
    assert until - since >= 86_400 and points <= 20_000


def test_a_click_on_an_answer_shows_its_stretch(opened: Opener, qtbot: QtBot) -> None:
    page, _, _ = opened()
    table = page._table
    index = table.model().index(1, 0)
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualRect(index).center())
    begin, end, _ = ANSWERS[3]
    since, until = page._stack.range()
    assert since < NOW - begin and until > NOW - end and until - since < 120
    assert page._stack._selected == pytest.approx((NOW - begin, NOW - end + 0.77))
    assert page._ranges.current() is None  # no segment has this span
    page._stack.draw()
    assert words(page, "decode")[2].startswith("max 131")


def test_answers_come_newest_first_and_are_replaced_not_doubled(opened: Opener) -> None:
    page, window, _ = opened()
    assert [message.id for message in page._answers.rows] == ["m4", "m3", "m2", "m1", "m0"]
    window.bridge.messageChanged.emit(answer(4, state="stopped"))
    window.bridge.messageChanged.emit(answer(4, state="writing"))
    late = answer(0).model_copy(update={"id": "new", "created_at": NOW})
    window.bridge.messageChanged.emit(late)
    assert [message.id for message in page._answers.rows] == ["new", "m4", "m3", "m2", "m1", "m0"]
    shown = [page._answers.data(page._answers.index(1, c), Qt.ItemDataRole.DisplayRole) for c in range(12)]
    assert shown[1:7] == ["Qwen3-30B-A3B", "dialog", "8", "8,608", "4,096", "1,029"]
    assert shown[7:] == ["0.21", "5,860", "128.5", "2.7", "45.3"]
    assert page._answers.rowCount(page._answers.index(0, 0)) == 0
    assert page._answers.rowCount(QModelIndex()) == 6


def test_no_answers_yet_is_said(opened: Opener) -> None:
    client = FakeClient()
    client.finished = []
    page, window, _ = opened(client=client)
    assert "none yet" in page._answers_note.text()
    window.bridge.messageChanged.emit(answer(0))
    assert "click one" in page._answers_note.text()


def test_markers_are_worded_and_new_ones_join(opened: Opener) -> None:
    page, window, _ = opened()
    labels = [event.label for event in page._stack._ruler.events]
    assert labels == ["Load Qwen3-30B-A3B", "4 experts", "8 experts", "Stop", "The engine ended."]
    window.bridge.markerAdded.emit(Marker(at=NOW, kind="eject", label="Qwen3-30B-A3B"))
    assert page._stack._ruler.events[-1].label == "Eject Qwen3-30B-A3B"


def test_chosen_tracks_and_range_are_remembered(opened: Opener) -> None:
    page, window, _ = opened()
    page._choose_track("gpu0.temperature", True)
    page._choose_track("ram", False)
    page._ranges.button("60").click()
    page.save_layout()
    again = MonitorPage(window.context)
    again.restore_layout()
    again._take_sample(sample(NOW + 1))
    again._place_tracks()
    assert "gpu0.temperature" in keys(again) and "ram" not in keys(again)
    assert again._stack.span_seconds == 60
    again._choose_usual()
    assert "ram" in keys(again) and "gpu0.temperature" not in keys(again)
    again.deleteLater()


def test_the_chooser_lists_every_track(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    page, _, _ = opened()
    menus: list[QMenu] = []
    monkeypatch.setattr(QMenu, "popup", lambda menu, *where: menus.append(menu))
    page._open_chooser()
    titles = {action.text(): action.isChecked() for action in menus[0].actions() if action.isCheckable()}
    assert titles["Decode speed"] and titles["VRAM, GPU 0"]
    assert not titles["Temperature"] and not titles["Pult's processes"] and "CPU" in titles


def test_the_rate_is_shown_and_set(opened: Opener, qtbot: QtBot) -> None:
    page, window, client = opened()
    assert page._rate.current() == "5.0"
    page._rate.chosen.emit("10.0")
    qtbot.waitUntil(lambda: window.operations.running == 0)
    assert client.asked("rate") == [10.0]


@pytest.fixture
def chosen_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    def choose(name: str) -> Path:
        monkeypatch.setattr(
            QFileDialog, "getSaveFileName", staticmethod(lambda *a, **k: (str(tmp_path / name), ""))
        )
        return tmp_path / name

    return choose


def test_exports(opened: Opener, qtbot: QtBot, chosen_file: Callable[[str], Path]) -> None:
    page, window, client = opened()

    def done() -> None:
        qtbot.waitUntil(lambda: window.operations.running == 0)

    samples = chosen_file("s.csv")
    page._export_samples()
    done()
    assert samples.read_text() == "time,decode\n1,2\n"
    assert client.asked("csv") == [page._stack.range()]
    answers = chosen_file("a.csv")
    page._export_answers()
    done()
    rows = list(csv.DictReader(answers.read_text().splitlines()))
    assert len(rows) == 5 and float(rows[0]["Decode, tokens/s"]) == pytest.approx(128.5)
    picture = chosen_file("p")  # without an ending: it gets one
    page._export_picture()
    done()
    assert QImage(f"{picture}.png").width() >= page.width()
    assert window.toasts == ["Saved s.csv", "Saved a.csv", "Saved p.png"]


def test_an_export_that_fails_is_told(
    opened: Opener, qtbot: QtBot, chosen_file: Callable[[str], Path]
) -> None:
    page, window, client = opened()
    client.refuse = StorageFailed("The disk is full.")
    chosen_file("s.csv")
    with qtbot.waitSignal(window.operations.failed) as told:
        page._export_samples()
    assert told.args[0].sentence == "The disk is full."
    client.refuse = None
    path = chosen_file("no/such/folder/s.csv")
    with qtbot.waitSignal(window.operations.failed) as told:
        page._export_samples()
    assert str(path) in told.args[0].sentence and "Choose another folder" in told.args[0].sentence


def test_a_day_of_samples_draws_smoothly(opened: Opener) -> None:
    client = FakeClient(seconds=1)
    client.ring = Ring(keep_seconds=1e9)
    for step in range(24 * 360):  # every ten seconds, as a thinned day comes
        client.ring.append(NOW - 86_400 + step * 10.0, sample_columns(sample(NOW - step % 600)))
    page, _, _ = opened(client=client)
    page._ranges.button("86400").click()
    page._fetch()
    QApplication.processEvents()
    started = time.perf_counter()
    for _ in range(5):
        page._stack.draw()
        page._stack.grab()
    assert (time.perf_counter() - started) / 5 < 0.1  # ten frames a second on a slow machine
