"""Tables and code wider than the column: everything in them can be brought into view."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.ui.pages.chat.prose.sideways import SidewaysBox
from app.ui.pages.chat.prose.table_box import SQUEEZED_PX, fitted
from app.ui.pages.chat.prose.view import ProseView

COLUMNS = 12
TABLE = "\n".join(
    [
        "| " + " | ".join(f"column number {i}" for i in range(COLUMNS)) + " |",
        "|" + "---|" * COLUMNS,
        "| " + " | ".join(f"value {i} of several words" for i in range(COLUMNS)) + " |",
    ]
)
CODE = "```python\n" + "x = " + "very_long_name + " * 30 + "last\n```"


@pytest.fixture
def view(themed: QApplication, qtbot: QtBot) -> ProseView:
    made = ProseView()
    qtbot.addWidget(made)
    return made


def wide(view: ProseView, text: str) -> SidewaysBox:
    view.set_text(text)
    view.resize(440, view.height_for(440))
    view.show()
    box = view._boxes[0]
    assert isinstance(box, SidewaysBox) and box.overflow > 0
    return box


@pytest.mark.parametrize("text", [TABLE, CODE])
def test_the_bar_is_dragged_to_the_far_end(view: ProseView, text: str) -> None:
    box = wide(view, text)
    low = int(box.height) - 5
    assert box.grips(QPointF(20, low)) and not box.grips(QPointF(20, 10))
    before = view.grab().toImage()
    QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(20, low))
    QTest.mouseMove(view, QPoint(430, low))
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, pos=QPoint(430, low))
    assert box.scroll_px == box.overflow
    assert view.grab().toImage() != before


@pytest.mark.parametrize("text, words", [(TABLE, "value 11"), (CODE, "last")])
def test_a_found_word_beyond_the_edge_is_brought_into_view(view: ProseView, text: str, words: str) -> None:
    box = wide(view, text)
    hits = view.find_words(words)
    place = view.show_found(hits[0])
    assert box.scroll_px > 0 and 0 <= place.x() <= 440
    # What is under that place is that word: pointer and picture agree while it is moved.
    index, at = view.place_at(place.center().toPoint())
    assert index == 0 and abs(at - hits[0][1]) <= 1


def test_columns_give_way_to_a_least_width_only() -> None:
    assert fitted([60.0, 300.0, 100.0], 400.0) == [60.0, 240.0, 100.0]
    assert fitted([300.0] * 5, 200.0) == [SQUEEZED_PX] * 5
    assert fitted([60.0] * 5, 200.0) == [60.0] * 5, "never wider than wanted"
