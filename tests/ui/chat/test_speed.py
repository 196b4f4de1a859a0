"""What streaming costs the window's thread: measured in its own CPU time, so that a busy machine does not decide."""

from __future__ import annotations

import time

from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.ui.pages.chat.page import ChatPage
from tests.ui.chat.fakes import Desk
from tests.ui.chat.test_markdown import ANSWER

FRAME_SECONDS = 0.016


def test_streaming_into_a_long_chat_stays_within_a_frame(
    page: ChatPage, desk: Desk, qapp: QApplication, qtbot: QtBot
) -> None:
    chat = desk.client.create_chat(title="Long")
    for number in range(150):
        desk.client.add(chat.id, "user", f"Question {number}")
        desk.client.finish(desk.client.add(chat.id, "assistant", ANSWER).id)
    page.open_chat(chat.id)
    page.composer.set_text("Go")
    page.composer.send.click()
    answer = page.session.messages[-1].id
    code = "\n".join(f"def f{n}(x):\n    return x + {n}  # comment" for n in range(100))
    text = ANSWER * 3 + f"```python\n{code}\n```\n\n" + "- an item of a long list\n" * 100
    spent = []
    for at in range(0, len(text), 25):  # five tokens: 300 tokens/s at 60 updates a second
        began = time.thread_time()
        desk.client.write(answer, text=text[at : at + 25], tokens=at // 5, decode_tokens_per_second=300.0)
        qapp.processEvents()
        spent.append(time.thread_time() - began)
    spent.sort()
    assert page.session.messages[-1].text == text
    assert spent[int(len(spent) * 0.99)] < FRAME_SECONDS, f"p99 {spent[int(len(spent) * 0.99)] * 1e3:.1f} ms"
    assert spent[len(spent) // 2] < FRAME_SECONDS / 4


def test_code_is_coloured_when_its_grammar_is_there(page: ChatPage, desk: Desk, qtbot: QtBot) -> None:
    from app.ui.pages.chat.prose.code_box import CodeBox

    chat = desk.client.create_chat(title="Code")
    desk.client.add(chat.id, "user", "Code?")
    desk.client.finish(desk.client.add(chat.id, "assistant", "```python\ndef f():\n    return 1\n```").id)
    page.open_chat(chat.id)
    view = page.conversation.view_of(page.session.messages[-1].id)
    assert view is not None
    box = view.prose[0]._boxes[0]
    assert isinstance(box, CodeBox)
    qtbot.waitUntil(lambda: box.coloured == box.text, timeout=5000)
    assert [span.kind for span in box.spans[0]] == ["code_kw", "code_fn"]
