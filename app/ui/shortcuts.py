"""One table of everything the window can do: id, title, keys, when it may be done. Menus, palette and F1 read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QWidget


@dataclass(frozen=True, kw_only=True)
class Action:
    """One thing to do. `title` and `group` are marked for translation; `keys` are portable key sequences."""

    id: str
    title: str
    group: str
    run: Callable[[], None]
    keys: tuple[str, ...] = ()
    enabled: Callable[[], bool] | None = None
    icon: str = ""
    in_palette: bool = True
    shortcut: bool = True  # False: the keys are listed here and handled elsewhere

    @property
    def possible(self) -> bool:
        """Whether it may be done now."""
        return self.enabled is None or self.enabled()

    @property
    def key_text(self) -> str:
        """The first key as this system writes it; empty without one."""
        if not self.keys:
            return ""
        return QKeySequence(self.keys[0]).toString(QKeySequence.SequenceFormat.NativeText).replace("+", " ")


@dataclass(frozen=True, kw_only=True)
class KnownKey:
    """A key that a control handles itself, listed on the sheet only."""

    keys: str
    title: str
    group: str


class Actions(QObject):
    """The table. Adding an action installs its keys on the window."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._by_id: dict[str, Action] = {}
        self.known: list[KnownKey] = []

    def __iter__(self) -> Iterator[Action]:
        return iter(self._by_id.values())

    def add(self, action: Action) -> Action:
        """Take an action into the table; the id must be new and the keys free."""
        if action.id in self._by_id:
            raise ValueError(f"there is an action {action.id} already")
        taken = {key for other in self for key in other.keys} & set(action.keys)
        if taken:
            raise ValueError(f"{action.id} wants keys that are taken: {', '.join(sorted(taken))}")
        self._by_id[action.id] = action
        for key in action.keys if action.shortcut else ():
            shortcut = QShortcut(QKeySequence(key), self._window)
            shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
            shortcut.activated.connect(lambda action=action: self.run(action.id))
        return action

    def note(self, keys: str, title: str, group: str) -> None:
        """List a key that a control handles itself."""
        self.known.append(KnownKey(keys=keys, title=title, group=group))

    def get(self, action_id: str) -> Action:
        """Return an action; KeyError for an unknown id."""
        return self._by_id[action_id]

    def run(self, action_id: str) -> bool:
        """Do it if it may be done now; False if not."""
        action = self._by_id[action_id]
        if not action.possible:
            return False
        action.run()
        return True
