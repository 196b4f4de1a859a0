"""Controls behave as drawn: keyboard, values, reasons, names for screen readers, repainting."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QAccessible, QFocusEvent, QFontMetrics, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QHBoxLayout, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from app.shared.settings import Stage
from app.ui import i18n
from app.ui.controls import (
    Badge,
    Banner,
    Button,
    Combo,
    ContextRing,
    ElidedLabel,
    EmptyState,
    FlatCombo,
    FoldRow,
    IconButton,
    Label,
    Legend,
    NumberField,
    Popover,
    ProgressLine,
    Readout,
    RichText,
    SearchField,
    Segments,
    Slider,
    Sparkline,
    StackBar,
    StackPart,
    StageBadge,
    Switch,
    Tabs,
    TextArea,
    TextField,
    Toast,
    ask,
)
from app.ui.theme import apply_theme


@pytest.fixture(autouse=True)
def looks(qapp: QApplication) -> Iterator[None]:
    i18n.set_language("en")
    apply_theme(qapp, "dark", reduce_motion=True, strong_borders=False)
    yield
    _hosts.clear()
    i18n.set_language("en")
    apply_theme(qapp, "dark", reduce_motion=False, strong_borders=False)


_hosts: list[QWidget] = []  # qtbot only keeps weak references


def shown(qtbot: QtBot, *widgets: QWidget, width: int = 400) -> QWidget:
    host = QWidget()
    column = QVBoxLayout(host)
    for widget in widgets:
        column.addWidget(widget)
    qtbot.addWidget(host)
    _hosts.append(host)
    host.resize(width, 300)
    host.show()
    qtbot.waitExposed(host)
    host.activateWindow()
    QApplication.processEvents()
    return host


def heard(signal: object) -> list[object]:
    got: list[object] = []
    signal.connect(lambda *values: got.append(values[0] if values else None))  # type: ignore[attr-defined]
    return got


# buttons


@pytest.mark.parametrize("key", [Qt.Key.Key_Space, Qt.Key.Key_Return])
def test_buttons_are_pressed_by_keys(qtbot: QtBot, key: Qt.Key) -> None:
    button = Button("Load & talk")
    shown(qtbot, button)
    clicks = heard(button.clicked)
    QTest.keyClick(button, key)
    assert len(clicks) == 1
    assert button.text() == "Load & talk"
    assert QAccessible.queryAccessibleInterface(button).text(QAccessible.Text.Name) == "Load & talk"


def test_a_disabled_button_says_why_and_forgets_it(qtbot: QtBot) -> None:
    button = IconButton("eject", "Eject the model")
    shown(qtbot, button)
    clicks = heard(button.clicked)
    button.set_reason("No model is loaded")
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert clicks == []
    assert button.toolTip() == "No model is loaded"
    button.set_reason(None)
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert len(clicks) == 1
    assert button.toolTip() == "Eject the model"
    assert QAccessible.queryAccessibleInterface(button).text(QAccessible.Text.Name) == "Eject the model"


def test_the_ring_comes_with_keyboard_focus_only(qtbot: QtBot) -> None:
    button = Button("Save")
    shown(qtbot, button)
    for reason, ringed in (
        (Qt.FocusReason.MouseFocusReason, False),
        (Qt.FocusReason.TabFocusReason, True),
        (Qt.FocusReason.OtherFocusReason, False),
        (Qt.FocusReason.ShortcutFocusReason, True),
    ):
        button.clearFocus()
        button.setFocus(reason)
        QApplication.sendEvent(button, QFocusEvent(QEvent.Type.FocusIn, reason))
        assert button._ringed is ringed


def test_switch_toggles_and_tells_its_state(qtbot: QtBot) -> None:
    switch = Switch("Thinking", show_label=True)
    shown(qtbot, switch)
    told = heard(switch.toggled)
    QTest.keyClick(switch, Qt.Key.Key_Space)
    QTest.mouseClick(switch, Qt.MouseButton.LeftButton)
    assert told == [True, False]
    switch.setChecked(True)
    face = QAccessible.queryAccessibleInterface(switch)
    assert face.state().checked
    assert face.text(QAccessible.Text.Name) == "Thinking"


# slider


def test_slider_keys(qtbot: QtBot) -> None:
    slider = Slider(label="Experts", low=1, high=128, tick=8)
    slider.set_number(13)
    shown(qtbot, slider)
    told = heard(slider.numberEdited)
    for key in (Qt.Key.Key_Right, Qt.Key.Key_PageUp, Qt.Key.Key_End, Qt.Key.Key_Home, Qt.Key.Key_Delete):
        QTest.keyClick(slider, key)
    assert told == [14, 24, 128, 1, 8]


def test_slider_speaks_its_number(qtbot: QtBot) -> None:
    slider = Slider(label="Experts", low=1, high=128)
    slider.set_number(13)
    shown(qtbot, slider)
    face = QAccessible.queryAccessibleInterface(slider)
    assert face.role() == QAccessible.Role.Slider
    assert face.text(QAccessible.Text.Name) == "Experts"
    assert slider.value() == 13
    assert face.text(QAccessible.Text.Description) == "13"


def test_slider_set_from_outside_is_silent_and_exact(qtbot: QtBot) -> None:
    slider = Slider(low=512, high=262_144, step=256, logarithmic=True)
    shown(qtbot, slider)
    told = heard(slider.numberEdited)
    slider.set_number(100_001)
    assert slider.number() == 100_001
    assert told == []


def test_logarithmic_slider_stops_at_powers_of_two(qtbot: QtBot) -> None:
    slider = Slider(low=512, high=262_144, step=256, logarithmic=True)
    shown(qtbot, slider)
    told = heard(slider.numberEdited)
    for _ in range(slider.maximum() - slider.minimum()):
        QTest.keyClick(slider, Qt.Key.Key_Right)
    assert {1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144} <= set(told)
    assert told == sorted(told, key=lambda n: float(str(n)))
    assert all(isinstance(n, int) and n % 256 == 0 for n in told)


def test_slider_of_fractions_has_clean_numbers(qtbot: QtBot) -> None:
    slider = Slider(low=0, high=2, step=0.05)
    slider.set_number(0.6)
    shown(qtbot, slider)
    told = heard(slider.numberEdited)
    QTest.keyClick(slider, Qt.Key.Key_Right)
    QTest.keyClick(slider, Qt.Key.Key_Right)
    assert told == [0.65, 0.7]


def test_slider_stops_at_what_was_refused(qtbot: QtBot) -> None:
    slider = Slider(low=1, high=128)
    slider.set_refused_above(48)
    shown(qtbot, slider)
    told = heard(slider.numberEdited)
    QTest.keyClick(slider, Qt.Key.Key_End)
    assert slider.number() == 48
    assert told == [48]


def test_mouse_moves_the_handle_to_the_pointer(qtbot: QtBot) -> None:
    slider = Slider(low=0, high=100, tick=50)
    shown(qtbot, slider)
    QTest.mouseClick(slider, Qt.MouseButton.LeftButton, pos=QPoint(slider.width() - 2, 12))
    assert slider.number() == 100
    QTest.mouseDClick(slider, Qt.MouseButton.LeftButton, pos=QPoint(5, 12))
    assert slider.number() == 50


def wheel(widget: QWidget, degrees: int) -> bool:
    at = QPointF(widget.rect().center())
    event = QWheelEvent(
        at,
        QPointF(widget.mapToGlobal(at.toPoint())),
        QPoint(),
        QPoint(0, degrees * 8),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)
    return event.isAccepted()


def test_the_wheel_acts_only_when_focused(qtbot: QtBot) -> None:
    slider, field = Slider(low=0, high=100), NumberField(low=0, high=100)
    combo = Combo([("a", "A"), ("b", "B")], current="a")
    slider.set_number(10)
    field.set_number(10)
    shown(qtbot, slider, field, combo)
    QApplication.focusWidget() and QApplication.focusWidget().clearFocus()
    for widget in (slider, field, combo):
        wheel(widget, 15)
    assert (slider.number(), field.number(), combo.current()) == (10, 10, "a")
    slider.setFocus()
    wheel(slider, 15)
    assert slider.number() > 10


# numbers


def typed(field: NumberField, text: str) -> None:
    field.lineEdit().selectAll()
    QTest.keyClicks(field.lineEdit(), text)
    QTest.keyClick(field.lineEdit(), Qt.Key.Key_Return)


@pytest.mark.parametrize(("text", "number"), [("131072", 131_072), ("131,072", 131_072), ("32 768", 32_768)])
def test_whole_numbers_are_typed(qtbot: QtBot, text: str, number: int) -> None:
    field = NumberField(label="Context", low=1, high=10**7, unit="tokens")
    shown(qtbot, field)
    told = heard(field.numberEdited)
    typed(field, text)
    assert told == [number]
    assert field.lineEdit().text() == i18n.number(number)


def test_both_decimal_points_are_taken(qtbot: QtBot) -> None:
    field = NumberField(label="Top-p", low=0, high=1, step=0.05, decimals=2)
    shown(qtbot, field)
    typed(field, "0,8")
    assert field.number() == 0.8
    assert field.lineEdit().text() == "0.80"
    i18n.set_language("ru")
    assert field.lineEdit().text() == "0,80"
    typed(field, "0.5")
    assert field.number() == 0.5


def test_seeds_of_64_bits_survive(qtbot: QtBot) -> None:
    field = NumberField(label="Seed", low=0, high=2**64 - 1, automatic="random")
    shown(qtbot, field)
    typed(field, str(2**64 - 1))
    assert field.number() == 2**64 - 1
    QTest.keyClick(field, Qt.Key.Key_Down)
    assert field.number() == 2**64 - 2


def test_a_refused_number_keeps_the_last_good_one(qtbot: QtBot) -> None:
    field = NumberField(label="Experts", low=1, high=128)
    field.set_number(8)
    shown(qtbot, field)
    told, problems = heard(field.numberEdited), heard(field.problemChanged)
    typed(field, "999")
    assert field.number() == 8
    assert told == []
    assert problems == ["Experts is 999. It takes 1 to 128."]
    assert "1 to 128" in QAccessible.queryAccessibleInterface(field).text(QAccessible.Text.Description)
    typed(field, "lots")
    assert field.problem == "“lots” is not a number."
    typed(field, "2.5")
    assert field.problem == "Experts is a whole number."
    typed(field, "16")
    assert field.problem == ""
    assert told == [16]


def test_escape_brings_the_good_number_back(qtbot: QtBot) -> None:
    field = NumberField(label="Experts", low=1, high=128)
    field.set_number(8)
    shown(qtbot, field)
    typed(field, "999")
    QTest.keyClick(field, Qt.Key.Key_Escape)
    assert (field.lineEdit().text(), field.problem) == ("8", "")


def test_an_empty_field_is_automatic_only_where_that_exists(qtbot: QtBot) -> None:
    free, strict = NumberField(label="Seed", automatic="random"), NumberField(label="Batch", low=1)
    free.set_number(5)
    strict.set_number(5)
    shown(qtbot, free, strict)
    for field in (free, strict):
        field.lineEdit().clear()
        QTest.keyClick(field.lineEdit(), Qt.Key.Key_Return)
    assert free.number() is None
    assert free.lineEdit().placeholderText() == "random"
    assert (strict.number(), strict.problem) == (5, "Batch needs a number.")


def test_number_steps_by_keys_within_bounds(qtbot: QtBot) -> None:
    field = NumberField(label="Temperature", low=0, high=2, step=0.1, decimals=2)
    field.set_number(1.95)
    shown(qtbot, field)
    QTest.keyClick(field, Qt.Key.Key_Up)
    assert field.number() == 2
    QTest.keyClick(field, Qt.Key.Key_PageDown)
    assert field.number() == pytest.approx(1.0)
    face = QAccessible.queryAccessibleInterface(field)
    assert face.role() == QAccessible.Role.SpinBox
    assert face.text(QAccessible.Text.Name) == "Temperature"
    assert face.text(QAccessible.Text.Value) == "1.00"


def test_an_own_check_is_asked(qtbot: QtBot) -> None:
    field = NumberField(label="Batch", low=1, high=4096)
    field.set_check(lambda n: "" if n % 2 == 0 else "Batch is odd.")
    shown(qtbot, field)
    typed(field, "7")
    assert field.problem == "Batch is odd."


def test_values_never_elide(qtbot: QtBot) -> None:
    field = NumberField(label="Context", unit="tokens")
    field.set_number(123_456_789)
    text = field.fontMetrics().horizontalAdvance("123,456,789")
    assert field.minimumSizeHint().width() > text


# text


def test_search_is_emptied_by_escape_and_by_its_cross(qtbot: QtBot) -> None:
    field = SearchField("Search chats", keys="Ctrl K")
    shown(qtbot, field)
    told = heard(field.searched)
    QTest.keyClicks(field, "kv")
    QTest.keyClick(field, Qt.Key.Key_Escape)
    assert told == ["k", "kv", ""]
    field.setText("cache")
    cross = field.findChild(IconButton)
    assert cross.isVisible()
    QTest.mouseClick(cross, Qt.MouseButton.LeftButton)
    assert field.text() == ""
    assert not cross.isVisible()


def test_a_text_field_carries_its_problem(qtbot: QtBot) -> None:
    field = TextField("dialog", label="Name")
    shown(qtbot, field)
    clean = field.grab().toImage()
    field.set_problem("A preset named dialog exists.")
    assert field.grab().toImage() != clean
    assert field.accessibleDescription() == "A preset named dialog exists."


def test_a_text_area_grows_with_its_lines(qtbot: QtBot) -> None:
    area = TextArea(min_height=72, max_height=240, label="Message")
    shown(qtbot, area)
    low = area.height()
    area.setPlainText("\n".join("line" for _ in range(8)))
    middle = area.height()
    area.setPlainText("\n".join("line" for _ in range(80)))
    assert low == 72 < middle < area.height() == 240
    area.clear()
    assert area.height() == 72


def test_enter_submits_and_shift_enter_does_not(qtbot: QtBot) -> None:
    area = TextArea(submits=True)
    shown(qtbot, area)
    told = heard(area.submitted)
    QTest.keyClicks(area, "hello")
    QTest.keyClick(area, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    assert (told, area.toPlainText()) == ([], "hello\n")
    QTest.keyClick(area, Qt.Key.Key_Return)
    assert len(told) == 1


def test_rich_text_is_as_high_as_its_lines(qtbot: QtBot) -> None:
    text = RichText("<p>" + "word " * 200 + "</p>")
    host = shown(qtbot, text, width=300)
    narrow = text.height()
    host.resize(900, 300)
    QApplication.processEvents()
    assert text.height() < narrow
    assert text.height() == pytest.approx(text.document().size().height(), abs=1)
    one = RichText("<p>One line</p>")
    shown(qtbot, one)
    assert 20 <= one.height() <= 24  # Inter 14 on 22 px lines


def test_links_are_told_not_opened(qtbot: QtBot) -> None:
    text = RichText("<a href='https://example.org/x'>here</a>")
    shown(qtbot, text)
    told = heard(text.linkOpened)
    QTest.mouseClick(text.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(8, 10))
    assert told == ["https://example.org/x"]


def test_elided_text_is_whole_in_its_tooltip(qtbot: QtBot) -> None:
    label = ElidedLabel("Qwen3-30B-A3B-Instruct-2507-UD-Q4_K_XL")
    shown(qtbot, label, width=120)
    assert label.toolTip() == label.text() == "Qwen3-30B-A3B-Instruct-2507-UD-Q4_K_XL"
    label.setText("short")
    assert label.toolTip() == ""


def test_labels_show_markup_as_it_is(qtbot: QtBot) -> None:
    label = Label("<b>a & b</b>")
    shown(qtbot, label)
    assert label.textFormat() == Qt.TextFormat.PlainText


# choices


def test_segments_move_by_arrows(qtbot: QtBot) -> None:
    segments = Segments(
        [("auto", "Auto"), ("on", "On"), ("off", "Off")], label="Flash attention", current="auto"
    )
    shown(qtbot, segments)
    told = heard(segments.chosen)
    segments.button("auto").setFocus()
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Left):
        QTest.keyClick(QApplication.focusWidget() or segments, key)
    assert told == ["on", "off", "on"]
    QTest.mouseClick(segments.button("auto"), Qt.MouseButton.LeftButton)
    assert segments.current() == "auto"
    assert told[-1] == "auto"


def test_segments_keep_their_choice_when_reworded(qtbot: QtBot) -> None:
    segments = Segments([("on", "On"), ("off", "Off")], current="off")
    shown(qtbot, segments)
    told = heard(segments.chosen)
    segments.set_options([("on", "Вкл"), ("off", "Выкл")])
    assert segments.current() == "off"
    assert told == []


@pytest.mark.parametrize("kind", [Combo, FlatCombo])
def test_combos_tell_only_the_persons_choice(qtbot: QtBot, kind: Callable[..., Combo]) -> None:
    combo = kind([("f16", "f16", "2 bytes"), ("q8_0", "q8_0")], label="K cache", current="f16")
    shown(qtbot, combo)
    told = heard(combo.chosen)
    combo.set_current("q8_0")
    combo.set_options([("f16", "f16"), ("q8_0", "q8_0"), ("q4_0", "q4_0")])
    assert (combo.current(), told) == ("q8_0", [])
    QTest.keyClick(combo, Qt.Key.Key_Down)
    assert told == ["q4_0"]
    face = QAccessible.queryAccessibleInterface(combo)
    assert face.text(QAccessible.Text.Description) == "K cache"
    assert face.text(QAccessible.Text.Value) == "q4_0"
    combo.set_reason("Flash attention is off")
    assert face.text(QAccessible.Text.Description) == "K cache. Flash attention is off"


def test_a_combo_with_an_unknown_key_is_empty(qtbot: QtBot) -> None:
    combo = Combo([("a", "A")], current="a")
    shown(qtbot, combo)
    combo.set_current("gone")
    assert combo.current() is None


def test_tabs_move_by_arrows(qtbot: QtBot) -> None:
    tabs = Tabs([("model", "Model"), ("context", "Context")], label="Parts of the preset")
    shown(qtbot, tabs)
    told = heard(tabs.chosen)
    QTest.keyClick(tabs, Qt.Key.Key_Right)
    assert told == ["context"]
    tabs.set_current("model")
    assert (tabs.current(), told) == ("model", ["context"])


# gauges


def parts(*amounts: float) -> list[StackPart]:
    return [StackPart(label=f"p{i}", amount=a, color=f"d{i + 1}", text=str(a)) for i, a in enumerate(amounts)]


def test_small_parts_stay_visible_within_the_bar(qtbot: QtBot) -> None:
    bar = StackBar("GPU 0")
    shown(qtbot, bar)
    bar.set_parts(parts(1, 0.001, 90), 100)
    widths = bar.widths()
    assert min(widths) >= 2
    assert sum(widths) <= bar.width()
    bar.set_parts(parts(80, 60), 100)
    assert sum(bar.widths()) == pytest.approx(bar.width())
    assert "p0 80" in bar.accessibleName()


def test_legend_has_a_row_per_part_and_the_rest(qtbot: QtBot) -> None:
    legend = Legend(shares=True)
    shown(qtbot, legend)
    legend.set_parts(parts(25, 50), 100, free=("Free", "25"))
    texts = [label.text() for label in legend.findChildren(Label)]
    assert {"p0", "p1", "Free", "25.0%", "50.0%"} <= set(texts)


def test_the_ring_warns_as_the_context_fills(qtbot: QtBot) -> None:
    ring = ContextRing()
    shown(qtbot, ring)
    assert not ring.isVisible()
    ring.set_tokens(9_560, 32_768)
    assert (ring.text(), ring.color()) == ("9,560 of 32,768", "accent")
    ring.set_tokens(29_000, 32_768)
    assert ring.color() == "warn"
    ring.set_tokens(33_000, 32_768)
    assert (ring.color(), ring.share()) == ("err", 1.0)


def test_a_gap_in_a_sparkline_is_a_gap(qtbot: QtBot) -> None:
    line, bridged = Sparkline("Speed"), Sparkline("Speed")
    shown(qtbot, line, bridged)
    line.set_values([1, 2, None, 2, 1])
    bridged.set_values([1, 2, 2, 2, 1])
    assert line.grab().toImage() != bridged.grab().toImage()
    line.set_values([])
    assert line.accessibleName() == "Speed"


def test_progress_stands_still_when_hidden_or_known(qtbot: QtBot, qapp: QApplication) -> None:
    apply_theme(qapp, "dark", reduce_motion=False)
    line = ProgressLine("Loading")
    host = shown(qtbot, line)
    line.set_share(None)
    assert line._clock.isActive()
    host.hide()
    assert not line._clock.isActive()
    host.show()
    line.set_share(0.4)
    assert not line._clock.isActive()
    assert line.value() == 400


def test_readout_says_label_number_and_unit(qtbot: QtBot) -> None:
    readout = Readout("Decode speed")
    shown(qtbot, readout)
    readout.set_value("129", "tokens/s")
    assert readout.accessibleName() == "Decode speed: 129 tokens/s"


def test_a_stage_says_that_its_row_differs(qtbot: QtBot) -> None:
    badge = StageBadge(Stage.CONTEXT)
    shown(qtbot, badge)
    assert badge.accessibleName() == "new context"
    badge.set_changed(True)
    assert badge.accessibleName() == "new context, differs from what is loaded"


# notices


def test_banner_buttons_act(qtbot: QtBot) -> None:
    done: list[str] = []
    banner = Banner(
        "err", "GPU memory ran out.", "It asked for 12.0 GiB.", [("Fit…", lambda: done.append("fit"))]
    )
    shown(qtbot, banner)
    QTest.mouseClick(banner.buttons[0], Qt.MouseButton.LeftButton)
    assert done == ["fit"]
    banner.show_message("warn", "Throttling.")
    assert banner.buttons == []
    assert banner.accessibleName() == "Throttling."


def test_toast_undoes_and_goes(qtbot: QtBot) -> None:
    host = shown(qtbot)
    toast, done = Toast(host), []
    toast.show_message("Chat deleted", action="Undo", on_action=lambda: done.append(1))
    assert toast.isVisible()
    assert toast.geometry().bottom() < host.height()
    QTest.mouseClick(toast.button, Qt.MouseButton.LeftButton)
    assert (done, toast.isVisible()) == ([1], False)


def test_toast_waits_under_the_pointer(qtbot: QtBot) -> None:
    host = shown(qtbot)
    toast = Toast(host)
    toast.show_message("Saved")
    assert toast._clock.isActive()
    toast.enterEvent(_entering())
    assert not toast._clock.isActive()
    toast.leaveEvent(QEvent(QEvent.Type.Leave))
    assert toast._clock.isActive()
    toast.dismiss()


def _entering() -> object:
    from PySide6.QtGui import QEnterEvent

    return QEnterEvent(QPointF(1, 1), QPointF(1, 1), QPointF(1, 1))


def test_a_question_acts_on_yes_only(qtbot: QtBot) -> None:
    host, done = shown(qtbot), []
    dialog = ask(
        host, "Delete the chat?", "It cannot be undone.", "Delete", on_yes=lambda: done.append(1), danger=True
    )
    QTest.keyClick(dialog, Qt.Key.Key_Escape)
    assert done == []
    dialog = ask(host, "Delete the chat?", "", "Delete", on_yes=lambda: done.append(1))
    yes = next(b for b in dialog.findChildren(Button) if b.text() == "Delete")
    QTest.mouseClick(yes, Qt.MouseButton.LeftButton)
    assert done == [1]


def test_a_popover_closes_on_escape(qtbot: QtBot) -> None:
    button = Button("Model")
    shown(qtbot, button)
    popover = Popover(button, width=200)
    popover.body.addWidget(Label("Qwen3"))
    told = heard(popover.closed)
    popover.open_below(button)
    assert popover.isVisible()
    QTest.keyClick(popover, Qt.Key.Key_Escape)
    assert not popover.isVisible()
    assert len(told) == 1


# surfaces


def test_a_fold_opens_by_key_and_click(qtbot: QtBot) -> None:
    fold, content = FoldRow("Thought for 4.2 s", "540 tokens"), Label("because")
    fold.set_content(content)
    shown(qtbot, fold)
    told = heard(fold.toggled)
    assert not content.isVisible()
    QTest.keyClick(fold.head, Qt.Key.Key_Return)
    assert content.isVisible()
    QTest.mouseClick(fold.head, Qt.MouseButton.LeftButton)
    assert not content.isVisible()
    assert told == [True, False]


def test_a_fold_moves_where_motion_is_on(qtbot: QtBot, qapp: QApplication) -> None:
    apply_theme(qapp, "dark", reduce_motion=False)
    fold, content = FoldRow("Thought"), Label("one\ntwo\nthree\nfour")
    fold.set_content(content)
    shown(qtbot, fold)
    fold.set_open(True)
    assert content.maximumHeight() < 20
    qtbot.waitUntil(lambda: content.maximumHeight() > 10_000, timeout=2_000)
    assert content.isVisible()


def test_an_empty_state_offers_acts(qtbot: QtBot) -> None:
    done: list[str] = []
    state = EmptyState("No chats yet", "Ask something.", [("New chat", lambda: done.append("new"))])
    shown(qtbot, state)
    QTest.mouseClick(state.buttons[0], Qt.MouseButton.LeftButton)
    assert done == ["new"]
    state.set_actions([])
    assert state.buttons == []


def test_everything_repaints_with_the_theme(qtbot: QtBot, qapp: QApplication) -> None:
    slider = Slider(low=0, high=10)
    slider.set_number(5)
    widgets: list[QWidget] = [
        Button("Load"),
        Badge("fits", "ok"),
        Switch("x"),
        slider,
        NumberField(label="n"),
        TextField("text"),
        SearchField("Search"),
        Combo([("a", "A")], current="a"),
        Segments([("a", "A"), ("b", "B")], current="a"),
        Tabs([("a", "A")]),
        Label("text"),
        StageBadge(Stage.LOAD),
        RichText("<p>text</p>"),
        TextArea("text"),
    ]
    shown(qtbot, *widgets)
    dark = [widget.grab().toImage() for widget in widgets]
    apply_theme(qapp, "light")
    QApplication.processEvents()
    same = [type(w).__name__ for w, before in zip(widgets, dark, strict=True) if w.grab().toImage() == before]
    assert same == []


def test_the_keys_of_a_button_give_way_before_its_word(themed: QApplication, qtbot: QtBot) -> None:
    host = QWidget()
    qtbot.addWidget(host)
    row = QHBoxLayout(host)
    row.setContentsMargins(0, 0, 0, 0)
    button = Button("Отправить новой ветвью", kind="primary", keys="Ctrl+Enter")
    row.addWidget(button)
    host.resize(button.sizeHint().width(), 40)
    host.show()
    assert button.keys_shown
    host.resize(button.minimumSizeHint().width(), 40)
    qtbot.waitUntil(lambda: button.width() < button.sizeHint().width())
    assert not button.keys_shown
    assert button.width() >= QFontMetrics(button.font()).horizontalAdvance(button.text()) + 24
