"""The window's actions, once: what the keys, the palette and the sheet of shortcuts show."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from app.shared import paths
from app.ui.i18n import mark
from app.ui.shell.model_picker import browse_for_model
from app.ui.shell.pages import PLACES
from app.ui.shell.remote_dialog import RemoteDialog
from app.ui.shortcuts import Action

if TYPE_CHECKING:
    from app.ui.main_window import MainWindow

GO, MODEL, CHAT, WINDOW = mark("Go to"), mark("Model"), mark("Chat"), mark("Window")
GO_TITLES = {
    "chat": mark("Go to Chat"),
    "presets": mark("Go to Presets"),
    "monitor": mark("Go to Monitor"),
    "log": mark("Go to Log"),
    "settings": mark("Settings…"),
}


def add_actions(window: MainWindow) -> None:
    """Fill the window's table of actions."""
    table, state = window.actions_table, window.state

    def loaded() -> bool:
        return state.model is not None

    def add(
        action_id: str,
        title: str,
        group: str,
        run: Callable[[], None],
        *keys: str,
        icon: str = "",
        enabled: Callable[[], bool] | None = None,
        in_palette: bool = True,
        shortcut: bool = True,
    ) -> None:
        table.add(
            Action(
                id=action_id,
                title=title,
                group=group,
                run=run,
                keys=keys,
                icon=icon,
                enabled=enabled,
                in_palette=in_palette,
                shortcut=shortcut,
            )
        )

    add("palette", mark("Search everything"), GO, window.open_palette, "Ctrl+K", in_palette=False)
    add("new_chat", mark("New chat"), CHAT, window.new_chat, "Ctrl+N", icon="plus")
    add("choose_model", mark("Choose a model…"), MODEL, window.choose_model, "Ctrl+L", icon="models")
    add(
        "open_file",
        mark("Open a model file…"),
        MODEL,
        lambda: _ignore(browse_for_model(window, window.context, window.loading)),
        "Ctrl+O",
        icon="folder",
    )
    add(
        "add_server",
        mark("Add a remote server…"),
        MODEL,
        lambda: RemoteDialog(window, window.context, saved=window.loading.load_remote).open(),
        icon="server",
    )
    add(
        "reload",
        mark("Load the model again"),
        MODEL,
        window.loading.reload,
        "Ctrl+R",
        icon="reload",
        enabled=loaded,
    )
    add(
        "eject",
        mark("Eject the model"),
        MODEL,
        window.loading.eject,
        "Ctrl+Shift+E",
        icon="eject",
        enabled=loaded,
    )
    add(
        "stop",
        mark("Stop the answer, or loading"),
        CHAT,
        window.stop,
        "Esc",
        in_palette=False,
        shortcut=False,
    )
    add(
        "thinking",
        mark("Switch thinking on or off"),
        CHAT,
        lambda: window.strip.thinking.switch.click(),
        "Ctrl+T",
        icon="lightbulb",
        enabled=lambda: window.strip.thinking.switch.isEnabled(),
    )
    for number, place in enumerate(PLACES, start=1):
        keys = ("Ctrl+,",) if place.id == "settings" else (f"Alt+{number}",)
        add(
            f"go_{place.id}",
            GO_TITLES[place.id],
            GO,
            partial(window.show_page, place.id),
            *keys,
            icon=place.icon,
        )
    add(
        "next_region",
        mark("Next part of the window"),
        GO,
        lambda: window.next_region(1),
        "F6",
        in_palette=False,
    )
    add(
        "previous_region",
        mark("Previous part of the window"),
        GO,
        lambda: window.next_region(-1),
        "Shift+F6",
        in_palette=False,
    )
    add("shortcuts", mark("Keyboard shortcuts"), WINDOW, window.open_shortcuts, "F1", icon="keyboard")
    add("theme", mark("Switch between dark and light"), WINDOW, window.toggle_theme, icon="moon")
    add("language", mark("Switch between English and Russian"), WINDOW, window.toggle_language, icon="globe")
    add(
        "data_folder",
        mark("Open the data folder"),
        WINDOW,
        lambda: window.open_folder(str(paths.data_dir())),
        icon="folder",
    )
    add("quit", mark("Quit Pult"), WINDOW, lambda: _ignore(window.close()), "Ctrl+Q", icon="close")
    table.note("Return", mark("Send the message"), CHAT)
    table.note("Shift+Return", mark("New line"), CHAT)
    table.note("Ctrl+F", mark("Find in this chat"), CHAT)
    table.note("Ctrl+Return", mark("Load with this preset"), mark("Presets"))
    table.note("Ctrl+S", mark("Save the preset"), mark("Presets"))
    table.note("Del", mark("Slider: back to the default"), mark("Presets"))


def _ignore(_result: object) -> None:
    """Actions answer nothing."""
