"""The words under an answer: speed, tokens, first token, experts; also while it is being written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QSize
from PySide6.QtGui import QFontMetricsF, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.ui.i18n import memory, ntr, number, tr
from app.ui.theme import theme

if TYPE_CHECKING:
    from app.shared.chats import AnswerFacts
    from app.ui.pages.chat.live import LiveAnswer

_GAP_PX = 10
_UNIT_GAP_PX = 4


@dataclass(frozen=True)
class Fact:
    """A strong value (the speed) with its unit, or quiet words alone."""

    words: str
    value: str = ""

    @property
    def spoken(self) -> str:
        return f"{self.value} {self.words}".strip()


def facts_of(facts: AnswerFacts) -> list[Fact]:
    """Return what is known of a finished answer, the most wanted first."""
    timings = facts.timings
    told = []
    if timings.tokens_per_second is not None:
        told.append(speed_fact(timings.tokens_per_second))
    if timings.completion_tokens:
        told.append(Fact(ntr("{n} token", "{n} tokens", timings.completion_tokens)))
    if timings.first_token_seconds is not None:
        told.append(
            Fact(tr("first token {seconds}", seconds=seconds_words(timings.first_token_seconds, decimals=2)))
        )
    if facts.experts_used is not None:
        told.append(Fact(ntr("{n} expert", "{n} experts", facts.experts_used)))
    if facts.finish_reason == "length":
        told.append(Fact(tr("token limit reached")))
    return told


def live_facts(live: LiveAnswer) -> list[Fact]:
    """Return what is known of an answer being written."""
    told = []
    if live.tokens_per_second is not None:
        told.append(speed_fact(live.tokens_per_second))
    if live.tokens:
        told.append(Fact(ntr("{n} token", "{n} tokens", live.tokens)))
    return told


def seconds_words(seconds: float, *, decimals: int) -> str:
    """Return a time in seconds whatever its size, so that a moving one keeps its unit."""
    return number(seconds, decimals=decimals) + "\u00a0" + tr("s")


def speed_fact(tokens_per_second: float) -> Fact:
    """Return a decode speed with one decimal."""
    return Fact(tr("tokens/s"), number(tokens_per_second, decimals=1))


def all_facts(facts: AnswerFacts) -> str:
    """Return everything measured of an answer, a line each: the tooltip of the facts line."""
    timings = facts.timings
    lines = []
    if facts.model:
        lines.append(tr("Model: {name}", name=facts.model))
    if facts.preset:
        lines.append(tr("Preset: {name}", name=facts.preset))
    if timings.prompt_tokens:
        lines.append(
            tr(
                "Prompt: {count} tokens, {cached} from the cache",
                count=timings.prompt_tokens,
                cached=timings.cached_tokens,
            )
        )
    if timings.prefill_tokens_per_second is not None:
        lines.append(
            tr("Prefill: {speed} tokens/s", speed=number(timings.prefill_tokens_per_second, decimals=0))
        )
    if facts.seed is not None:
        lines.append(tr("Seed: {seed}", seed=str(facts.seed)))
    for key, value in facts.values.items():
        lines.append(f"{key}: {value if isinstance(value, (bool, str)) else number(value)}")
    if facts.peak_vram_bytes is not None:
        lines.append(tr("Peak VRAM: {size}", size=memory(facts.peak_vram_bytes)))
    if facts.energy_joules is not None:
        lines.append(tr("Energy: {joules} J", joules=number(facts.energy_joules, decimals=0)))
    return "\n".join(lines)


class FactsLine(QWidget):
    """Draws the facts in one line; those without room are left out whole, their numbers never cut."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._facts: list[Fact] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(24)

    @property
    def words(self) -> str:
        """All facts as one line of text."""
        return ", ".join(fact.spoken for fact in self._facts)

    def set_facts(self, facts: list[Fact]) -> None:
        """Show these."""
        if facts != self._facts:
            self._facts = facts
            self.setAccessibleName(self.words)
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(200, 24)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look = theme()
        strong, quiet = look.font("section"), look.font("secondary")
        strong_metrics, quiet_metrics = QFontMetricsF(strong), QFontMetricsF(quiet)
        baseline = (self.height() + strong_metrics.ascent() - strong_metrics.descent()) / 2
        x = 0.0
        for fact in self._facts:
            value_width = strong_metrics.horizontalAdvance(fact.value) + _UNIT_GAP_PX if fact.value else 0.0
            width = value_width + quiet_metrics.horizontalAdvance(fact.words)
            if x + width > self.width():
                break
            if fact.value:
                painter.setFont(strong)
                painter.setPen(look.color("text"))
                painter.drawText(QPointF(x, baseline), fact.value)
            painter.setFont(quiet)
            painter.setPen(look.color("text3"))
            painter.drawText(QPointF(x + value_width, baseline), fact.words)
            x += width + _GAP_PX
        painter.end()
