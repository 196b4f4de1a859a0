"""The stack of tracks: following, pausing, zooming, the crosshair, events, what is painted."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QWheelEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.shared.history import History
from app.ui.charts import TimeEvent, Trace, Track, TrackStack
from app.ui.theme import apply_theme

START = 1_790_000_000.0


def head(history: History, since: float, until: float) -> tuple[str, str, str]:
    return (
        f"{history.latest('value'):.0f}",
        "tokens/s",
        f"{len(history.values('value', since, until))} samples",
    )


def track(key: str = "speed", column: str = "value") -> Track:
    return Track(
        key=key,
        title=key,
        traces=(Trace(column=column),),
        words=lambda v: f"{v:.0f}",
        tick=lambda v: f"{v:.0f}",
        head=head,
    )


@pytest.fixture
def stack(themed: QApplication, qtbot: QtBot) -> TrackStack:
    history = History()
    for i in range(1200):
        if not 400 <= i < 460:
            history.append(START + i * 0.5, {"value": 100.0 if i % 200 < 100 else 0.0})
    made = TrackStack(history)
    qtbot.addWidget(made)
    made.set_tracks([track()])
    made.resize(900, 200)
    made.show()
    qtbot.waitExposed(made)
    made.draw()
    return made


def newest() -> float:
    return START + 1199 * 0.5


def test_it_follows_until_paused_and_comes_back(stack: TrackStack, qtbot: QtBot) -> None:
    assert stack.range() == (newest() - 600, newest())
    with qtbot.waitSignal(stack.followingChanged) as told:
        stack.pause()
    assert told.args == [False]
    stack.history.append(newest() + 5, {"value": 1.0})
    assert stack.range()[1] == newest()
    stack.follow()
    assert stack.range()[1] == newest() + 5


def test_the_wheel_zooms_and_the_span_has_limits(stack: TrackStack) -> None:
    stack.set_span(5.0)
    assert stack.span_seconds == 10.0
    stack.set_span(1e9)
    assert stack.span_seconds == 24 * 3600
    stack.set_span(600.0)
    plot = stack._rows[0].plot
    event = QWheelEvent(
        QPointF(100, 20),
        QPointF(100, 20),
        QPoint(),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    plot.wheelEvent(event)
    assert stack.span_seconds == pytest.approx(480.0)
    assert stack.following


def test_the_arrow_keys_move_and_end_returns(stack: TrackStack, qtbot: QtBot) -> None:
    qtbot.keyClick(stack, Qt.Key.Key_Left)
    assert not stack.following
    assert stack.range()[1] == pytest.approx(newest() - 60)
    qtbot.keyClick(stack, Qt.Key.Key_End)
    assert stack.following


def test_an_answer_s_stretch_is_shown_and_shaded(stack: TrackStack) -> None:
    stack.show_stretch(START + 100, START + 110)
    since, until = stack.range()
    assert since < START + 100 < START + 110 < until
    stack.draw()
    assert stack._rows[0].plot.selected == (START + 100, START + 110)


def test_the_crosshair_reads_every_track_and_not_across_gaps(stack: TrackStack) -> None:
    stack.set_tracks([track(), track("second")])
    stack._hover(START + 30.0)
    assert [row.plot.readouts for row in stack._rows] == [[(100.0, "100")]] * 2
    stack._hover(START + 215.0)  # no samples here
    assert [row.plot.readouts for row in stack._rows] == [[], []]
    stack._hover(None)
    assert stack._rows[0].plot.cursor_at is None


def test_lines_fills_and_gaps_are_painted(stack: TrackStack) -> None:
    plot = stack._rows[0].plot

    def pixel(image: QImage, at: float, value: float) -> str:
        return image.pixelColor(round(plot.x_of(at)), round(plot.y_of(value))).name()

    image = plot.grab().toImage()
    ground = pixel(image, START + 70.0, 30.0)  # over a line at zero
    filled = pixel(image, START + 22.0, 30.0)
    assert filled != ground
    assert pixel(image, START + 215.0, 30.0) == ground  # the gap
    assert pixel(image, START + 22.0, 100.0) != filled  # the line itself
    apply_theme(QApplication.instance(), "light")  # type: ignore[arg-type]  # there is one
    stack.draw()
    assert pixel(plot.grab().toImage(), START + 22.0, 30.0) != filled


def test_crowded_events_are_gathered_with_their_own_words_in_the_tooltip(stack: TrackStack) -> None:
    events = [TimeEvent(at=START + 300 + i, label=f"Load {i}") for i in range(3)]
    stack.set_events([*events, TimeEvent(at=START + 500, label="Stop", icon="stop")])
    stack.draw()
    stack._ruler.grab()
    assert [len(gathered) for _, gathered in stack._ruler._boxes] == [3, 1]
    assert list(stack._rows[0].plot.marks) == [event.at for event in [*events]] + [START + 500]


def test_rows_stay_when_tracks_change(stack: TrackStack) -> None:
    first = stack._rows[0]
    stack.set_tracks([track("second"), track()])
    assert stack._rows[1] is first
    stack.set_tracks([track("second")])
    assert [row.track.key for row in stack._rows] == ["second"]


def test_hidden_it_draws_nothing(stack: TrackStack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.hide()
    drawn: list[int] = []
    monkeypatch.setattr(stack, "draw", lambda: drawn.append(1))
    stack.refresh()
    QApplication.processEvents()
    assert not drawn
    assert not stack._timer.isActive()


def test_a_sample_worth_less_than_a_pixel_changes_the_heads_and_not_the_plots(
    stack: TrackStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(stack, "refresh", lambda: drawn.append(1))
    stack.history.append(newest() + 0.2, {"value": 42.0})  # a pixel is about 0.9 s wide
    stack.advance()
    assert not drawn
    assert stack._rows[0].words[0] == "42"
    stack.history.append(newest() + 1.0, {"value": 43.0})
    stack.advance()
    assert drawn == [1]
    stack._span = (
        86_400.0  # a pixel is minutes wide, and still nothing stays hidden for longer than two seconds
    )
    stack.history.append(newest() + 2.5, {"value": 44.0})
    stack.advance()
    assert drawn == [1, 1]
