"""What every page is given, and what every page is.

Nothing here imports the service's types at run time: the window paints before pydantic and httpx are loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QWidget

if TYPE_CHECKING:
    from app.client.service_client import ServiceClient
    from app.ui.bridge import Bridge
    from app.ui.operations import Operations
    from app.ui.state import AppState
    from app.ui.window_memory import WindowMemory


@dataclass
class WindowContext:
    """The window's parts, as pages reach them.


    `client` is for work on other threads only: it may wait for the service. `navigate(page_id)` shows a page,
    `toast(text, *, action=None, on_action=None)` says something for six seconds.
    """

    client: ServiceClient
    state: AppState
    bridge: Bridge
    operations: Operations
    navigate: Callable[[str], None]
    toast: Callable[..., None]
    settings: WindowMemory
    choose_model: Callable[[], None] = lambda: None  # opens the model picker


class Page(QWidget):
    """One page of the rail. Subclasses set the three names; `title` is marked for translation, not worded."""

    page_id = ""
    title = ""
    icon_name = ""

    def __init__(self, context: WindowContext) -> None:
        super().__init__()
        self.context = context

    def shown(self) -> None:
        """The page has become the one on screen."""

    def hidden(self) -> None:
        """Another page took its place: stop what only serves the eye."""

    def focus_main(self) -> None:
        """Put the keyboard focus where work on this page starts."""
        self.setFocus()

    def regions(self) -> list[QWidget]:
        """The widgets that F6 moves between, left to right."""
        return [self]

    def reveal(self, kind: str, key: str) -> bool:
        """Show one thing: ("chat", id), ("message", "chat id/message id"), ("preset", name),
        ("setting", key), ("new", "chat").

        False if this page does not know it. The palette and other pages ask this.
        """
        return False

    def stop_work(self) -> bool:
        """Esc: stop what this page is doing; False if there was nothing to stop."""
        return False

    def accept_files(self, paths: list[str]) -> bool:
        """Take dropped files that are no models; False if this page has no use for them."""
        return False

    def save_layout(self) -> None:
        """Write splitters, folds and choices into `context.settings`."""

    def restore_layout(self) -> None:
        """Take them back; called once, before the page is first shown."""
