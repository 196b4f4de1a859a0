"""Any sequence of additions, choices, removals and undos leaves a tree that a plain model of it agrees with."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.service.chats.store import ChatStore
from app.shared.events import Event


def ignore(event: Event) -> None:
    """The events are of no matter here."""


class Trees(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = ChatStore(Path(self.folder.name) / "chats.db", publish=ignore)
        self.chat = self.store.create().id
        self.parent: dict[str, str | None] = {}
        self.removed_by: dict[str, str] = {}
        self.chosen: dict[str | None, str] = {}

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def living(self) -> list[str]:
        return [each for each in self.parent if each not in self.removed_by]

    def put_on_path(self, message_id: str) -> None:
        at: str | None = message_id
        while at is not None:
            self.chosen[self.parent[at]] = at
            at = self.parent[at]

    @rule(data=st.data(), root=st.booleans())
    def add(self, data: st.DataObject, root: bool) -> None:
        living = self.living()
        parent = None if root or not living else living[data.draw(st.integers(0, len(living) - 1))]
        message = self.store.add(self.chat, role="user", text="x", parent_id=parent)
        self.parent[message.id] = parent
        self.put_on_path(message.id)

    @precondition(lambda self: self.living())
    @rule(data=st.data())
    def choose(self, data: st.DataObject) -> None:
        living = self.living()
        message_id = living[data.draw(st.integers(0, len(living) - 1))]
        self.store.choose(message_id)
        self.put_on_path(message_id)

    @precondition(lambda self: self.living())
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        living = self.living()
        message_id = living[data.draw(st.integers(0, len(living) - 1))]
        self.store.remove_message(message_id)
        below = {message_id}
        for each in self.living():  # parents come before children
            if self.parent[each] in below:
                below.add(each)
        self.removed_by.update(dict.fromkeys(below, message_id))

    @precondition(lambda self: self.removed_by)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        roots = set(self.removed_by.values())
        place = data.draw(st.integers(0, len(roots) - 1))
        message_id = [each for each in self.parent if each in roots][place]  # by age: ids are random
        if self.parent[message_id] in self.removed_by:
            return
        self.store.restore_message(message_id)
        self.removed_by = {each: by for each, by in self.removed_by.items() if by != message_id}
        self.put_on_path(message_id)

    @invariant()
    def the_path_is_the_models(self) -> None:
        children: dict[str | None, list[str]] = {}
        for each in self.living():
            children.setdefault(self.parent[each], []).append(each)
        path: list[str] = []
        at: str | None = None
        while at in children:
            wanted = self.chosen.get(at)
            at = wanted if wanted in children[at] else children[at][-1]
            assert at is not None
            path.append(at)
        view = self.store.view(self.chat)
        assert [message.id for message in view.messages] == path
        assert view.chat.message_count == len(self.living())
        for message in view.messages:
            assert list(message.sibling_ids) == children[message.parent_id]
            assert message.sibling_ids[message.sibling_index] == message.id
            assert message.sibling_count == len(message.sibling_ids)


Trees.TestCase.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
test_trees = Trees.TestCase
