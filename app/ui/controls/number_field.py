"""A field for one number: any 64-bit integer or float, its unit inside, decimals by language."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Property, QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QFontMetrics, QKeyEvent, QPainter, QPaintEvent, QValidator, QWheelEvent
from PySide6.QtWidgets import QAbstractSpinBox, QSizePolicy, QWidget

from app.ui.controls.fields import draw_field, field_palette
from app.ui.controls.painting import Interactive
from app.ui.i18n import number, parse_number, tongue, tr
from app.ui.theme import theme, themes

Number = int | float


class NumberField(Interactive, QAbstractSpinBox):
    """A right-aligned number with its unit inside. None stands for “automatic”, shown by its placeholder.

    A refused entry keeps the last good number in force, turns the border to err and sends its sentence with
    `problemChanged`. Both `,` and `.` are taken as the decimal point.
    """

    numberEdited = Signal(object)  # noqa: N815 - the person set a number: int, float or None
    problemChanged = Signal(str)  # noqa: N815 - the sentence, empty when the entry is good again

    def __init__(
        self,
        parent: QWidget | None = None,
        *,
        label: str = "",
        low: Number | None = None,
        high: Number | None = None,
        step: Number = 1,
        decimals: int = 0,
        unit: str = "",
        automatic: str | None = None,
        compact: bool = True,
    ) -> None:
        self._low, self._high, self._step = low, high, step
        self._decimals, self._unit = decimals, unit
        self._automatic = automatic
        self._number: Number | None = None
        self._problem = ""
        self._right = 6
        self._check: Callable[[Number], str] | None = None
        super().__init__(parent)
        self._usual_tip = ""
        self.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
        self.setFrame(False)
        self.setFont(theme().font("control"))
        self.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.setKeyboardTracking(False)
        self.setAccessibleName(label)
        self.setFixedHeight(theme().metric("control_compact" if compact else "control"))
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.lineEdit().setPlaceholderText(automatic or "")
        self.lineEdit().setAccessibleName(label)
        self._place_unit()
        self._take_theme()
        themes().changed.connect(self._take_theme)
        tongue().changed.connect(self._show_number)
        self.editingFinished.connect(self._commit)
        self.lineEdit().textEdited.connect(self._typed)

    # what is in force

    def number(self) -> Number | None:
        """Return the number in force; None means automatic."""
        return self._number

    def set_number(self, value: Number | None) -> None:
        """Put a number in force without telling `numberEdited`; clears a problem."""
        self._number = value
        self._show_number()
        self._set_problem("")

    def _accessible_value(self) -> float:
        return float(self._number) if self._number is not None else 0.0

    # Qt's accessibility reads these by name.
    value = Property(float, _accessible_value)
    minimum = Property(float, lambda self: float(self._low) if self._low is not None else -(2.0**63))
    maximum = Property(float, lambda self: float(self._high) if self._high is not None else 2.0**63)
    singleStep = Property(float, lambda self: float(self._step))  # noqa: N815 - read by this name

    def set_range(self, low: Number | None, high: Number | None) -> None:
        """Change the bounds; a number outside them is kept and marked."""
        self._low, self._high = low, high
        if self._number is not None:
            self._set_problem(self._refusal(self._number))

    def set_unit(self, unit: str) -> None:
        """Change the unit inside the field: `tokens`, `of 128`."""
        self._unit = unit
        self._place_unit()

    def set_automatic(self, words: str | None) -> None:
        """Change what stands in the field while the number is absent; None forbids an empty field."""
        self._automatic = words
        self.lineEdit().setPlaceholderText(words or "")

    def set_check(self, check: Callable[[Number], str] | None) -> None:
        """Add a check of one's own: it returns a sentence for a refused number and "" for a good one."""
        self._check = check

    @property
    def problem(self) -> str:
        """Why the entry is refused, empty when it is not."""
        return self._problem

    def set_problem(self, sentence: str) -> None:
        """Mark the number as refused from outside, by the service or the dry run; "" clears the mark."""
        self._set_problem(sentence)

    # typing

    def _typed(self, text: str) -> None:
        if self._problem and not self._problem_of(text):
            self._set_problem("")

    def _problem_of(self, text: str) -> str:
        if not text.strip():
            return "" if self._automatic is not None else tr("{label} needs a number.", label=self._label())
        entered = parse_number(text)
        if entered is None:
            return tr("“{text}” is not a number.", text=text.strip()[:40])
        return self._refusal(entered)

    def _refusal(self, entered: Number) -> str:
        if self._decimals == 0 and isinstance(entered, float) and not entered.is_integer():
            return tr("{label} is a whole number.", label=self._label())
        low, high = self._low, self._high
        if (low is not None and entered < low) or (high is not None and entered > high):
            values = {"label": self._label(), "value": entered}
            if low is not None and high is not None:
                return tr("{label} is {value}. It takes {low} to {high}.", **values, low=low, high=high)
            if low is not None:
                return tr("{label} is {value}. It takes {low} or more.", **values, low=low)
            return tr("{label} is {value}. It takes {high} or less.", **values, high=high)
        return self._check(entered) if self._check is not None else ""

    def _label(self) -> str:
        return self.accessibleName() or tr("This field")

    def _commit(self) -> None:
        text = self.lineEdit().text()
        if text == self._text_of(self._number):
            return
        problem = self._problem_of(text)
        self._set_problem(problem)
        if problem:
            return
        entered = parse_number(text) if text.strip() else None
        self._accept(entered)

    def _accept(self, entered: Number | None) -> None:
        if entered is not None:
            entered = int(entered) if self._decimals == 0 else float(entered)
        changed = entered != self._number
        self._number = entered
        self._show_number()
        self._set_problem("")
        if changed:
            self.numberEdited.emit(entered)

    def _set_problem(self, sentence: str) -> None:
        if sentence != self._problem:
            self._problem = sentence
            self.setAccessibleDescription(sentence)
            self.problemChanged.emit(sentence)
            self.update()

    def _text_of(self, value: Number | None) -> str:
        if value is None:
            return ""
        return number(int(value) if self._decimals == 0 else float(value), decimals=self._decimals)

    def _show_number(self) -> None:
        text = self._text_of(self._number)
        if self.lineEdit().text() != text:
            self.lineEdit().setText(text)
            self.updateGeometry()
        self.update()

    # QAbstractSpinBox

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        # Checked when the person is done, so that nothing blocks typing.
        return QValidator.State.Acceptable, text, position

    def stepEnabled(self) -> QAbstractSpinBox.StepEnabledFlag:
        return (
            QAbstractSpinBox.StepEnabledFlag.StepUpEnabled | QAbstractSpinBox.StepEnabledFlag.StepDownEnabled
        )

    def stepBy(self, steps: int) -> None:
        self._commit()
        start = self._number if self._number is not None else (self._low or 0)
        moved = start + steps * self._step
        if self._decimals:
            moved = round(moved, max(self._decimals, 6))
        if self._low is not None:
            moved = max(moved, self._low)
        if self._high is not None:
            moved = min(moved, self._high)
        self._accept(moved)
        self.lineEdit().selectAll()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._commit()
            self.lineEdit().selectAll()
            event.accept()
            return
        if event.key() == Qt.Key.Key_Escape and self.lineEdit().text() != self._text_of(self._number):
            self._show_number()
            self._set_problem("")
            event.accept()
            return
        super().keyPressEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.lineEdit().deselect()

    # looks

    def _take_theme(self) -> None:
        self.setPalette(field_palette(self.palette()))
        self.lineEdit().setPalette(field_palette(self.lineEdit().palette()))

    def _place_unit(self) -> None:
        width = QFontMetrics(theme().font("caption")).horizontalAdvance(self._unit)
        # QLineEdit adds 2 px of its own on each side.
        self._right = width + 10 if self._unit else 6
        self.lineEdit().setTextMargins(3, 0, self._right, 0)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(theme().metric("form_number"), self.height())

    def minimumSizeHint(self) -> QSize:
        # Values never elide: the field is at least as wide as what stands in it.
        words = self._text_of(self._number) or self._automatic or ""
        width = QFontMetrics(self.font()).horizontalAdvance(words)
        return QSize(max(48, width + self._right + 12), self.height())

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.EnabledChange:
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look = theme()
        radius = look.metric("radius.number")
        draw_field(painter, self, focused=self.hasFocus(), bad=bool(self._problem), radius=radius)
        if self._unit:
            painter.setFont(look.font("caption"))
            painter.setPen(look.color("text3"))
            area = QRectF(self.rect()).adjusted(0, 0, -8, 0)
            painter.drawText(
                area, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight), self._unit
            )
