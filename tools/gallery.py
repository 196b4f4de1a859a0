"""Shows every control in its states; with a folder as argument, saves pictures of both themes there instead.

    .venv/bin/python tools/gallery.py            open a window
    .venv/bin/python tools/gallery.py FOLDER     write components-dark-1440.png and components-light-1440.png

`--scale 1.5` draws at that screen ratio, `--language ru` in Russian.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

if TYPE_CHECKING:
    from PySide6.QtWidgets import QBoxLayout, QWidget

GIB = 1024**3


def row(*widgets: QWidget, stretch: bool = True, spacing: int = 12) -> QBoxLayout:
    from PySide6.QtWidgets import QHBoxLayout

    line = QHBoxLayout()
    line.setSpacing(spacing)
    for widget in widgets:
        line.addWidget(widget)
    if stretch:
        line.addStretch(1)
    return line


def section(title: str, *lines: QBoxLayout | QWidget) -> QWidget:
    from PySide6.QtWidgets import QWidget

    from app.ui.controls import Card, Label

    card = Card()
    card.body.addWidget(Label(title, "section"))
    for line in lines:
        if isinstance(line, QWidget):
            card.body.addWidget(line)
        else:
            card.body.addLayout(line)
    return card


def fixed(widget: QWidget, width: int) -> QWidget:
    widget.setFixedWidth(width)
    return widget


def buttons() -> QWidget:
    from app.ui.controls import Button, IconButton, Menu, MenuButton

    off = Button("Load", kind="primary")
    off.set_reason("Choose a model first")
    menu = Menu()
    for words in ("Rename", "Duplicate", "Export…", "Delete"):
        menu.addAction(words)
    boxed = IconButton("minus", "Fewer experts", boxed=True, size=24)
    return section(
        "Buttons",
        row(Button("Load", kind="primary", keys="Ctrl Enter"), Button("Save", keys="Ctrl S"), off),
        row(Button("Revert", kind="ghost"), Button("Delete", kind="danger"), MenuButton("Export", menu)),
        row(
            Button("Copy", icon_name="copy", compact=True, kind="ghost"),
            IconButton("eject", "Eject"),
            IconButton("reload", "Reload"),
            boxed,
            IconButton("plus", "More experts", boxed=True, size=24),
            spacing=8,
        ),
    )


def sliders() -> QWidget:
    from app.ui.controls import Label, NumberField, Slider

    def line(value: int, note: str, **options: int | None) -> QBoxLayout:
        slider = Slider(label="Experts per token", low=1, high=128, tick=8)
        slider.set_number(value)
        field = NumberField(label="Experts per token", low=1, high=128, unit="of 128")
        field.set_number(value)
        if options.get("refused"):
            slider.set_refused_above(options["refused"])
        if options.get("off"):
            slider.set_reason("This model has no experts")
            field.set_reason("This model has no experts")
        return row(fixed(slider, 144), fixed(field, 104), Label(note, "caption", "text2"))

    context = Slider(label="Context length", low=512, high=262_144, step=256, logarithmic=True, tick=32_768)
    context.set_number(131_072)
    tokens = NumberField(label="Context length", low=512, high=10**7, unit="tokens")
    tokens.set_number(131_072)
    seed = NumberField(label="Seed", low=0, high=2**64 - 1, automatic="random")
    bad = NumberField(label="Top-k", low=0, high=200)
    bad.set_number(999)
    bad.set_range(0, 200)
    return section(
        "Slider, number",
        line(8, "at the default"),
        line(64, "changed, tick shows default"),
        line(48, "hatched: refused by dry run", refused=96),
        line(8, "not for this model", off=1),
        row(fixed(context, 144), fixed(tokens, 112), Label("in ratios", "caption", "text2")),
        row(fixed(seed, 124), fixed(bad, 104), Label("random seed; refused value", "caption", "text2")),
    )


def choices() -> QWidget:
    from app.shared.settings import Stage
    from app.ui.controls import Combo, FlatCombo, Segments, StageBadge, Switch, Tabs

    on = Switch("Thinking", show_label=True)
    on.setChecked(True)
    stages: list[QBoxLayout] = []
    for changed in (False, True):
        badges = [StageBadge(stage) for stage in Stage]
        for badge in badges:
            badge.set_changed(changed)
        stages.append(row(*badges))
    cache = Combo([("f16", "f16", "2 bytes"), ("q8_0", "q8_0", "1.06 bytes")], current="f16", label="K cache")
    return section(
        "Switch, segments, combo, tabs, stage",
        row(
            on,
            Switch("Temporary"),
            Segments(
                [("auto", "Auto"), ("on", "On"), ("off", "Off")], current="auto", label="Flash attention"
            ),
        ),
        row(cache, FlatCombo([("dialog", "dialog")], current="dialog", label="Preset")),
        Tabs([("model", "Model and memory"), ("context", "Context and RoPE"), ("experts", "Experts")]),
        *stages,
    )


def verdicts() -> QWidget:
    from app.ui.controls import Card, Verdict

    cards: list[QWidget] = []
    said: Sequence[tuple[str, ...]] = (
        ("ok", "Fits", "41.2 GiB left on GPU 0", "Laid out by llama.cpp in 4 ms.", "exact"),
        (
            "warn",
            "Tight",
            "0.9 GiB left on GPU 0, margin is 1.0 GiB",
            "The first answer needs 0.2 more.",
            "exact",
        ),
        ("err", "Does not fit", "6.4 GiB too much on GPU 0", "No dry run on this system.", "arithmetic"),
    )
    for kind, word, headline, text, badge in said:
        verdict = Verdict()
        sure = "ok" if badge == "exact" else "warn"
        verdict.show_verdict(kind, word, headline, text, badge=badge, badge_kind=sure)
        card = Card(margins=(12, 8, 12, 8))
        card.body.addWidget(verdict)
        cards.append(card)
    return section("Verdict", *cards)


def badges() -> QWidget:
    from app.ui.controls import Badge, ContextRing, KeyHint, Readout, Sparkline

    ring = ContextRing()
    ring.set_tokens(9_560, 32_768)
    speed = Readout("Decode speed")
    speed.set_value("129", "tokens/s")
    line = Sparkline("Decode speed")
    line.set_values([0, 0, 120, 126, 128, 127, None, 0, 125, 129])
    return section(
        "Badges, keys, gauges",
        row(
            Badge("fits", "ok"), Badge("tight", "warn"), Badge("refused", "err"), Badge("trained"), spacing=8
        ),
        row(KeyHint("Ctrl+K"), KeyHint("Esc"), ring),
        row(speed, line),
    )


def stack() -> QWidget:
    from app.ui.controls import Legend, StackBar, StackPart
    from app.ui.i18n import memory

    sizes = (
        ("Weights", 17.1, "d2"),
        ("KV cache", 12.0, "d3"),
        ("Compute", 0.4, "d4"),
        ("Other", 24.3, "other"),
    )
    parts = [
        StackPart(label=label, amount=gib * GIB, color=color, text=memory(gib * GIB))
        for label, gib, color in sizes
    ]
    bar = StackBar("GPU 0")
    bar.set_parts(parts, 95.6 * GIB)
    legend = Legend(shares=True)
    legend.set_parts(parts, 95.6 * GIB, free=("Free", memory(41.8 * GIB)))
    return section("Stack", bar, legend)


def notices() -> list[QWidget]:
    from app.ui.controls import Banner, Label, ProgressLine

    def nothing() -> None:
        return None

    progress = ProgressLine("Loading")
    progress.set_share(0.6)
    return [
        Banner(
            "err",
            "GPU memory ran out while loading.",
            "It asked for 12.0 GiB of KV cache; 9.8 GiB were free. The chat and your text are kept.",
            [("Fit…", nothing), ("Log", nothing)],
        ),
        Banner(
            "warn",
            "GPU 0 is throttling: power limit.",
            "598 of 600 W for 40 s. Answers are about 6% slower.",
            [("Monitor", nothing)],
        ),
        section(
            "Loading", row(Label("Qwen3-30B-A3B"), Label("11.2 of 18.6 GB", "secondary", "text2")), progress
        ),
    ]


def fields() -> QWidget:
    from app.ui.controls import SearchField, TextArea, TextField

    bad = TextField("dialog", label="Name")
    bad.set_problem("A preset named dialog exists.")
    area = TextArea("You answer briefly and say what you do not know.", label="System prompt")
    return section(
        "Fields",
        SearchField("Search chats", keys="Ctrl K"),
        TextField(placeholder="Name of the preset"),
        bad,
        area,
    )


def words() -> QWidget:
    from app.ui.controls import FoldRow, Label, RichText

    fold = FoldRow("Thought for 4.2 s", "· 540 tokens", icon_name="lightbulb")
    prose = RichText(
        "<p>It grows <b>linearly</b> with the context: <code>n_ctx</code> × 96 KiB. <a href='#'>[1]</a></p>"
    )
    styles = ("display", "title", "section", "body", "prose", "caption", "code")
    samples = [Label("41.2" if style == "display" else style.capitalize(), style) for style in styles]
    return section("Type", row(*samples), fold, prose)


def swatches() -> QWidget:
    from PySide6.QtWidgets import QVBoxLayout, QWidget

    from app.ui.controls import Label, Surface

    lines: list[QBoxLayout] = []
    for tokens in (
        ("bg0", "bg1", "bg2", "bg3", "bg4", "line2", "edge"),
        ("d1", "d2", "d3", "d4", "d5", "track"),
    ):
        cells: list[QWidget] = []
        for token in tokens:
            cell = QWidget()
            column = QVBoxLayout(cell)
            column.setContentsMargins(0, 0, 0, 0)
            surface = Surface(token)
            surface.setFixedSize(44, 24)
            column.addWidget(surface)
            column.addWidget(Label(token, "caption", "text2"))
            cells.append(cell)
        lines.append(row(*cells, spacing=8))
    return section("Swatches", *lines)


def build() -> QWidget:
    from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout

    from app.ui.controls import Surface

    page = Surface("bg1")
    columns = QHBoxLayout(page)
    columns.setContentsMargins(24, 20, 24, 20)
    columns.setSpacing(16)
    groups = (
        [buttons(), sliders(), choices()],
        [verdicts(), badges(), stack()],
        [*notices(), fields(), words(), swatches()],
    )
    for group in groups:
        column = QVBoxLayout()
        column.setSpacing(12)
        for widget in group:
            column.addWidget(widget)
        column.addStretch(1)
        columns.addLayout(column, 1)
    return page


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--language", choices=("en", "ru"), default="en")
    parser.add_argument("--strong-borders", action="store_true")
    options = parser.parse_args()
    os.environ["QT_SCALE_FACTOR"] = str(options.scale)
    if options.folder is not None:
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtWidgets import QApplication

    from app.ui.i18n import set_language
    from app.ui.theme import apply_theme

    app = QApplication(sys.argv[:1])
    set_language(options.language)
    if options.folder is None:
        apply_theme(app, "system", strong_borders=options.strong_borders)
        page = build()
        page.resize(1440, 900)
        page.show()
        return app.exec()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in ("dark", "light"):
        apply_theme(app, name, strong_borders=options.strong_borders, reduce_motion=True)
        page = build()
        page.resize(1440, 900)
        page.show()
        app.processEvents()
        app.processEvents()
        target = options.folder / f"components-{name}-1440.png"
        page.grab().save(str(target))
        page.close()
        print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
