"""The one style sheet, for what Qt draws itself: menus, tooltips, scroll bars, tables, splitters.

Controls that Pult paints take their colours from the theme at paint time and are not mentioned here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.ui.theme.theme import Theme

_SHEET = """
QToolTip {{ background: {bg4}; color: {text}; border: 1px solid {line2}; padding: 4px 8px; }}
QMenu {{ background: {bg2}; color: {text}; border: 1px solid {line2};
    border-radius: {card}px; padding: 4px; }}
QMenu::item {{ background: transparent; padding: 6px 20px 6px 10px; border-radius: {menu_item}px; }}
QMenu::item:selected {{ background: {bg4}; }}
QMenu::item:disabled {{ color: {text3}; }}
QMenu::icon {{ padding-left: 8px; }}
QMenu::separator {{ height: 1px; background: {line}; margin: 4px 8px; }}
QScrollBar {{ background: transparent; border: none; margin: 0; }}
QScrollBar:vertical {{ width: {scrollbar}px; }}
QScrollBar:horizontal {{ height: {scrollbar}px; }}
QScrollBar::handle {{ background: {scroll}; border-radius: 3px; margin: 2px; }}
QScrollBar::handle:hover {{ background: {edge}; }}
QScrollBar::handle:vertical {{ min-height: 28px; }}
QScrollBar::handle:horizontal {{ min-width: 28px; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; border: none; background: none; }}
QScrollBar::add-page, QScrollBar::sub-page {{ background: none; }}
QLineEdit {{ background: transparent; border: none; }}
QComboBox QAbstractItemView {{ background: {bg2}; border: 1px solid {line2}; padding: 4px 0; }}
QAbstractScrollArea {{ border: none; background: transparent; }}
QAbstractScrollArea::corner {{ background: transparent; border: none; }}
QTableView {{ background: transparent; color: {text}; border: none; gridline-color: transparent;
    selection-background-color: {sel}; selection-color: {text}; outline: 0; }}
QTableView::item {{ padding: 0 4px; border-bottom: 1px solid {line}; }}
QTableView::item:selected {{ background: {sel}; color: {text}; }}
QHeaderView {{ background: transparent; border: none; }}
QHeaderView::section {{ background: transparent; color: {text3}; border: none;
    border-bottom: 1px solid {line2};
    padding: 0 8px; height: {table_head}px; font-size: 11px; font-weight: 500; }}
QListView, QTreeView {{ background: transparent; border: none; outline: 0; color: {text}; }}
QSplitter::handle {{ background: {line}; }}
QSplitter::handle:horizontal {{ width: 1px; }}
QSplitter::handle:vertical {{ height: 1px; }}
"""


def style_sheet(theme: Theme) -> str:
    """Return the style sheet of a theme."""
    colors = {
        token: theme.hex(token)
        for token in ("bg2", "bg4", "text", "text3", "line", "line2", "scroll", "edge", "sel")
    }
    lengths = {
        "card": theme.metric("radius.card"),
        "menu_item": theme.metric("radius.menu_item"),
        "scrollbar": theme.metric("scrollbar"),
        "table_head": theme.metric("table_head"),
    }
    return _SHEET.format(**colors, **lengths)
