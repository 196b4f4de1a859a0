"""Painted text: Markdown blocks laid out and drawn by one widget, with selection, links, find marks and copying.

No widget per paragraph: an answer is one widget, and only what is on screen is drawn.
"""

from app.ui.pages.chat.prose.view import ProseStyle, ProseView

__all__ = ["ProseStyle", "ProseView"]
