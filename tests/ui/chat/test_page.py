"""The chat page as a person uses it, on a service in memory."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QMimeData, QPoint, Qt, QUrl
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from app.shared.chats import Attachment
from app.shared.engine import EngineState, EngineStatus
from app.shared.errors import EngineDied, EngineFailed, ModelFileMissing, NoModelLoaded
from app.ui.pages.chat.conversation.answer_view import AnswerView
from app.ui.pages.chat.conversation.question_view import QuestionView
from app.ui.pages.chat.page import ChatPage
from tests.ui.chat.fakes import MODEL, Desk


def _answered(desk: Desk, question: str = "What is a KV cache?", answer: str = "Keys and **values**.") -> str:
    chat = desk.client.create_chat(title="About caches")
    desk.client.add(chat.id, "user", question)
    message = desk.client.add(chat.id, "assistant", answer, thought="Think.")
    desk.client.finish(message.id)
    return chat.id


def _answer_view(page: ChatPage) -> AnswerView:
    view = page.conversation.view_of(page.session.messages[-1].id)
    assert isinstance(view, AnswerView)
    return view


def _act(page: ChatPage, action: str) -> None:
    page.conversation.asked.emit(action, page.session.messages[-1].id)


def test_a_first_message_begins_a_chat_and_its_answer_streams(
    page: ChatPage, desk: Desk, qtbot: QtBot
) -> None:
    qtbot.keyClicks(page.composer.field, "Hello")
    qtbot.keyClick(page.composer.field, Qt.Key.Key_Return)
    assert [told[1] for told in desk.client.called("send")] == ["Hello"]
    assert page.composer.text == ""
    assert [m.role for m in page.session.messages] == ["user", "assistant"]
    assert page.composer.send.text() == "Stop"
    answer = page.session.messages[-1].id
    desk.client.write(answer, thought="Let me see.", tokens=3, decode_tokens_per_second=33.21)
    view = _answer_view(page)
    assert view._thought_head.words.startswith("Thinking")
    assert view.facts_words == "33.2 tokens/s, 3 tokens"
    desk.client.write(answer, text="It **is**", tokens=5)
    desk.client.write(answer, text=" so.", tokens=6)
    assert view.text_view.source == "It **is** so."
    assert view._thought_head.words.startswith("Thought for")
    desk.client.finish(answer)
    assert page.composer.send.text() == "Send"
    words = _answer_view(page).facts_words.replace("\u00a0", " ").replace("\u202f", " ")
    assert words == "128.4 tokens/s, 412 tokens, first token 0.21 s, 2 experts"
    thought = _answer_view(page)._thought_head.words.replace("\u00a0", " ")
    assert thought == "Thought for 4.2 s · 540 tokens"


def test_nothing_typed_is_lost_when_sending_fails(page: ChatPage, desk: Desk, qtbot: QtBot) -> None:
    desk.client.refuse["send"] = EngineFailed("The engine refused: {why}. Try again.", why="busy")
    page.composer.set_attachments((Attachment(name="a.txt", text="file"),))
    qtbot.keyClicks(page.composer.field, "Precious words")
    page.composer.send.click()
    assert page.composer.text == "Precious words"
    assert [each.name for each in page.composer.attachments] == ["a.txt"]
    assert page.composer.problem.text() == "The engine refused: busy. Try again."
    assert not page.composer.field.isReadOnly()
    page.composer.send.click()
    assert page.composer.text == "" and page.composer.attachments == []
    assert len(desk.client.called("create_chat")) == 1, "the second try uses the chat that the first began"
    assert [told[2] for told in desk.client.called("send")] == [(Attachment(name="a.txt", text="file"),)] * 2


def test_without_a_model_sending_says_why_and_offers_one(page: ChatPage, desk: Desk, qtbot: QtBot) -> None:
    desk.state.set_engine(EngineState())
    page.composer.set_text("Hello")
    qtbot.keyClick(page.composer.field, Qt.Key.Key_Return)
    assert desk.client.called("send") == []
    assert page.composer.text == "Hello"
    assert page.composer.send.reason == "No model is loaded. Choose one first."
    page.start.choose.click()
    assert desk.picker_opened == 1
    page.open_chat(_answered(desk))
    assert page.notice is not None
    desk.state.set_engine(EngineState(status=EngineStatus.READY, model=MODEL))
    assert page.notice is None and page.composer.send.reason in ("", "Write a message first")


def test_after_the_engine_ended_it_can_be_loaded_again_from_the_chat(page: ChatPage, desk: Desk) -> None:
    page.open_chat(_answered(desk))
    died = EngineDied("The engine ended.", remedies=("edit_preset", "log"))
    desk.state.set_engine(EngineState(status=EngineStatus.FAILED, error=died.info()))
    assert page.notice is not None
    assert page.notice.buttons[0].text() == "Load again"
    page.notice.buttons[0].click()
    assert len(desk.client.called("reload")) == 1
    gone = ModelFileMissing("There is no file {path}.", path="/m.gguf")
    desk.state.set_engine(EngineState(status=EngineStatus.FAILED, error=gone.info()))
    assert page.notice.buttons[0].text() == "Choose a model…", "the same file would fail the same way"


def test_loading_is_shown_with_its_progress(page: ChatPage, desk: Desk) -> None:
    desk.state.set_engine(EngineState(status=EngineStatus.LOADING, loading="Qwen3", progress=0.42))
    assert page.start.title.text() == "Loading Qwen3"
    assert page.start.text.text() == "42%"
    assert page.composer.send.reason == "Qwen3 is being loaded"


def test_guide_offers_questions_that_ask_themselves(page: ChatPage, desk: Desk) -> None:
    from app.shared.paths import guide_model

    guide = MODEL.model_copy(update={"path": str(guide_model())})
    desk.state.set_engine(EngineState(status=EngineStatus.READY, model=guide))
    shown = [question for question in page.start.questions if question.isVisible()]
    assert len(shown) == 4
    shown[0].click()
    assert desk.client.called("send")[0][1] == shown[0].accessibleName()


def test_escape_stops_the_answer(page: ChatPage, desk: Desk, qtbot: QtBot) -> None:
    assert page.stop_work() is False
    page.composer.set_text("Go")
    page.composer.send.click()
    answer = page.session.messages[-1].id
    assert page.stop_work() is True
    page.composer.send.click()
    assert desk.client.called("stop_answer") == [answer, answer]
    desk.client.write(answer, text="Half")
    desk.client.finish(answer, state="stopped")
    view = _answer_view(page)
    assert "stopped" in view.facts_words
    assert view._continue.isVisible()
    view._continue.click()
    assert desk.client.called("answer")[-1][2] == answer


def test_failed_and_cut_off_answers_say_so_with_a_remedy(page: ChatPage, desk: Desk) -> None:
    chat_id = _answered(desk)
    page.open_chat(chat_id)
    answer = page.session.messages[-1].id
    desk.client.finish(answer, state="failed", error="The engine ended (SIGSEGV). Reload the model.")
    view = _answer_view(page)
    assert (
        view._banner is not None
        and view._banner.text.text() == "The engine ended (SIGSEGV). Reload the model."
    )
    desk.client.finish(answer, state="cut_off")
    view = _answer_view(page)
    assert view._banner is not None and view._banner.title.text() == "Cut off"


def test_versions_step_and_regenerating_makes_one(page: ChatPage, desk: Desk) -> None:
    chat_id = _answered(desk)
    page.open_chat(chat_id)
    first = page.session.messages[-1].id
    _act(page, "regenerate")
    page.session.refresh()
    second = page.session.messages[-1]
    assert (second.sibling_index, second.sibling_count) == (1, 2)
    desk.client.write(second.id, text="Another.")
    desk.client.finish(second.id)
    page.session.refresh()
    view = _answer_view(page)
    assert view._versions.words.text() == "2 / 2"
    view._versions.before.click()
    assert page.session.messages[-1].id == first
    assert _answer_view(page).text_view.source == "Keys and **values**."


def test_editing_a_question_branches_and_an_answer_saves_in_place(
    page: ChatPage, desk: Desk, qtbot: QtBot
) -> None:
    page.open_chat(_answered(desk))
    question = page.session.messages[0].id
    page.conversation.asked.emit("edit", question)
    view = page.conversation.view_of(question)
    assert isinstance(view, QuestionView) and view.editor is not None
    view.editor.area.setPlainText("  ")
    view.editor.primary.click()
    assert view.editor.problem.text().startswith("The message is empty")
    view.editor.area.setPlainText("Another question")
    view.editor.primary.click()
    assert desk.client.called("edit_message") == [(question, "Another question", True, False)]
    page.session.open(page.session.chat_id)
    answer = page.session.messages[-1]
    desk.client.refuse["edit_message"] = NoModelLoaded("No model is loaded.")
    page.conversation.asked.emit("edit", answer.id)
    editor = page.conversation.view_of(answer.id)
    assert editor is not None and editor.editor is not None
    editor.editor.area.setPlainText("Corrected")
    editor.editor.primary.click()
    assert editor.editor is not None and editor.editor.area.toPlainText() == "Corrected"
    assert editor.editor.problem.text() == "No model is loaded."
    editor.editor.primary.click()
    assert editor.editor is None
    assert desk.client.called("edit_message")[-1] == (answer.id, "Corrected", False, True)


def test_branching_off_sends_with_that_parent(page: ChatPage, desk: Desk) -> None:
    chat_id = _answered(desk)
    desk.client.add(chat_id, "user", "Second question")
    desk.client.finish(desk.client.add(chat_id, "assistant", "Second answer").id)
    page.open_chat(chat_id)
    early = page.session.messages[1].id
    page.conversation.asked.emit("branch", early)
    assert "Keys and" in page.composer.branch_words.text()
    page.composer.set_text("Instead")
    page.composer.send.click()
    assert desk.client.called("send")[-1][3] == early
    assert page.composer.branch_words.text() == ""


def test_deleting_a_message_can_be_undone(page: ChatPage, desk: Desk) -> None:
    page.open_chat(_answered(desk))
    answer = page.session.messages[-1].id
    _act(page, "delete")
    page.session.refresh()
    assert [m.role for m in page.session.messages] == ["user"]
    words, undo = desk.toasts[-1]
    assert words == "Message deleted" and undo is not None
    undo()
    page.session.refresh()
    assert page.session.messages[-1].id == answer


def test_drafts_belong_to_their_chats_and_survive_a_new_window(
    page: ChatPage, desk: Desk, qtbot: QtBot
) -> None:
    first, second = _answered(desk), _answered(desk)
    page.open_chat(first)
    qtbot.keyClicks(page.composer.field, "one")
    page.open_chat(second)
    assert page.composer.text == ""
    qtbot.keyClicks(page.composer.field, "two")
    page.open_chat(first)
    assert page.composer.text == "one"
    page.drafts.save()
    assert desk.client.chats_kept[second].draft == "two"
    page.new_chat()
    qtbot.keyClicks(page.composer.field, "three")
    page.save_layout()
    desk.memory.save()
    again = ChatPage(desk.context)
    qtbot.addWidget(again)
    assert again.composer.text == "three"
    again.open_chat(second)
    assert again.composer.text == "two"


def test_attached_files_stay_with_their_chat(page: ChatPage, desk: Desk) -> None:
    first, second = _answered(desk), _answered(desk)
    page.open_chat(first)
    page.composer.set_attachments([Attachment(name="a.txt", text="a")])
    page.open_chat(second)
    assert page.composer.attachments == []
    page.open_chat(first)
    assert [each.name for each in page.composer.attachments] == ["a.txt"]
    page.composer.send.click()
    page.open_chat(second)
    page.open_chat(first)
    assert page.composer.attachments == []


def test_a_draft_stays_when_the_service_does_not_answer(page: ChatPage, desk: Desk, qtbot: QtBot) -> None:
    chat = _answered(desk)
    page.open_chat(chat)
    desk.client.refuse["change_chat"] = EngineFailed("no")
    qtbot.keyClicks(page.composer.field, "kept")
    page.drafts.save()
    assert desk.client.chats_kept[chat].draft == ""
    page.new_chat()
    page.open_chat(chat)
    assert page.composer.text == "kept"


def test_long_pastes_and_dropped_files_become_attachments(page: ChatPage, desk: Desk, tmp_path: Path) -> None:
    data = QMimeData()
    data.setText("x" * 2_001)
    page.composer.field.insertFromMimeData(data)
    assert page.composer.text == "" and len(page.composer.attachments[0].text) == 2_001
    data.setText("y" * 2_000)
    page.composer.field.insertFromMimeData(data)
    assert len(page.composer.text) == 2_000
    file = tmp_path / "заметки.txt"
    file.write_text("из файла", encoding="utf-8")
    files = QMimeData()
    files.setUrls([QUrl.fromLocalFile(str(file))])
    page.composer.field.insertFromMimeData(files)
    assert page.composer.attachments[1] == Attachment(name="заметки.txt", text="из файла")
    cross = page.composer._chips[0].cross
    assert cross is not None
    cross.click()
    assert [each.name for each in page.composer.attachments] == ["заметки.txt"]
    binary = tmp_path / "picture.png"
    binary.write_bytes(b"\x89PNG\0\xff")
    assert page.accept_files([str(binary)])
    assert page.composer.problem.text().startswith("picture.png is no text")
    assert len(page.composer.attachments) == 1


def test_context_is_counted_with_the_draft(page: ChatPage, desk: Desk, qtbot: QtBot) -> None:
    chat = _answered(desk)
    page.open_chat(chat)
    page.composer.set_text("draft words")
    qtbot.waitUntil(lambda: (chat, "draft words") in desk.client.called("count"), timeout=3000)
    assert page.composer.ring.text() == "9,560 of 32,768"
    assert page.inspector.ledger.heading.note.text() == "9,560 of 32,768"
    count = len(desk.client.called("count"))
    desk.state.set_engine(EngineState(status=EngineStatus.ANSWERING, model=MODEL))
    page.composer.set_text("more")
    qtbot.wait(500)
    assert len(desk.client.called("count")) == count, "the engine answers: it would only count afterwards"


def test_inspector_changes_values_for_the_next_answers(page: ChatPage, desk: Desk, qtbot: QtBot) -> None:
    page.inspector.sampling.pencil.click()
    field = page.inspector.sampling.fields["temperature"]
    field.lineEdit().setText("0,9")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert desk.client.called("set_values") == [{"temperature": 0.9}]
    page.composer.thinking.click()
    assert desk.client.called("set_values")[-1] == {"thinking": False}
    page.inspector.system_prompt.area.setPlainText("Be brief.")
    qtbot.waitUntil(
        lambda: desk.client.called("set_values")[-1] == {"system_prompt": "Be brief."}, timeout=3000
    )
    changed = MODEL.model_copy(update={"values": {"temperature": 0.9, "thinking": False}})
    desk.state.set_engine(EngineState(status=EngineStatus.READY, model=changed))
    assert page.inspector.sampling._shown["temperature"].text() == "0.90"
    assert not page.composer.thinking.isChecked()


def test_find_goes_through_all_messages(page: ChatPage, desk: Desk, qtbot: QtBot) -> None:
    chat = desk.client.create_chat(title="Long")
    for number in range(40):
        desk.client.add(chat.id, "user", f"Question {number} about experts")
        desk.client.finish(desk.client.add(chat.id, "assistant", f"Answer {number}\n\n" + "word " * 120).id)
    page.open_chat(chat.id)
    page.open_find()
    qtbot.keyClicks(page.find_bar.field, "experts")
    assert page.find_bar.count.text() == "40 of 40"
    qtbot.keyClick(page.find_bar.field, Qt.Key.Key_Return)
    assert page.find_bar.count.text() == "1 of 40"
    assert page.conversation.verticalScrollBar().value() < 200
    qtbot.keyClick(page.find_bar.field, Qt.Key.Key_Escape)
    assert not page.find_bar.isVisible()


def test_only_messages_near_the_screen_are_widgets(page: ChatPage, desk: Desk, qtbot: QtBot) -> None:
    chat = desk.client.create_chat(title="Very long")
    for number in range(250):
        desk.client.add(chat.id, "user", f"Question {number}")
        desk.client.finish(desk.client.add(chat.id, "assistant", f"Answer {number}\n\n" + "word " * 100).id)
    page.open_chat(chat.id)
    bar = page.conversation.verticalScrollBar()
    assert bar.value() == bar.maximum() > 10_000
    assert _answer_view(page).isVisible()

    def made() -> int:
        return sum(entry.view is not None for entry in page.conversation.entries)

    assert made() < 40
    for value in range(bar.maximum(), 0, -1500):
        bar.setValue(value)
    bar.setValue(0)
    assert page.conversation.view_of(page.session.messages[0].id) is not None
    assert made() < 60
    assert page.conversation.following is False


def test_following_ends_where_the_person_scrolls_up(page: ChatPage, desk: Desk, qtbot: QtBot) -> None:
    page.open_chat(_answered(desk, answer="line\n\n" * 100))
    page.composer.set_text("More")
    page.composer.send.click()
    answer = page.session.messages[-1].id
    bar = page.conversation.verticalScrollBar()
    for _ in range(30):
        desk.client.write(answer, text="new line\n\n")
    assert bar.value() == bar.maximum()
    bar.setValue(bar.maximum() - 600)
    place = bar.value()
    for _ in range(30):
        desk.client.write(answer, text="new line\n\n")
    assert bar.value() == place < bar.maximum()
    assert page.conversation.to_end.isVisible()
    page.conversation.to_end.click()
    desk.client.write(answer, text="end\n\n")
    assert bar.value() == bar.maximum()


def test_selection_runs_over_messages_and_is_copied(page: ChatPage, desk: Desk, qtbot: QtBot) -> None:
    page.open_chat(_answered(desk, question="First question here", answer="Alpha beta.\n\n- one\n- two\n"))
    view = page.conversation
    question, answer = (view.view_of(m.id) for m in page.session.messages)
    assert question is not None and answer is not None
    viewport = view.viewport()
    begin = question.prose[0].mapTo(viewport, question.prose[0].rect().topLeft())
    end = answer.prose[-1].mapTo(viewport, answer.prose[-1].rect().bottomRight())
    qtbot.mousePress(viewport, Qt.MouseButton.LeftButton, pos=begin)
    qtbot.mouseMove(viewport, end)
    from PySide6.QtCore import QEvent, QPointF
    from PySide6.QtGui import QMouseEvent

    move = QMouseEvent(
        QEvent.Type.MouseMove,
        QPointF(end),
        QPointF(viewport.mapToGlobal(end)),
        Qt.MouseButton.NoButton,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QGuiApplication.sendEvent(viewport, move)
    qtbot.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=end)
    assert (
        view.selected_text() == "First question here\n\nAlpha beta.\n• one\n• two"
        or view.selected_text() == ("First question here\n\nAlpha beta.\n\n• one\n• two")
    )
    qtbot.keyClick(view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == view.selected_text()


def test_copying_gives_markdown_or_plain_words(page: ChatPage, desk: Desk) -> None:
    page.open_chat(_answered(desk))
    _act(page, "copy")
    assert QGuiApplication.clipboard().text() == "Keys and **values**."
    _act(page, "copy_plain")
    assert QGuiApplication.clipboard().text() == "Keys and values."


def test_a_view_fetched_late_does_not_undo_what_events_said(page: ChatPage, desk: Desk) -> None:
    page.composer.set_text("Go")
    page.composer.send.click()
    answer = page.session.messages[-1].id
    desk.client.write(answer, text="All of it.")
    stale = desk.client.messages[answer].model_copy(update={"text": "All"})
    desk.client.messages[answer] = stale
    page.session.refresh()
    assert page.session.messages[-1].text == "All of it."


def test_the_open_chat_comes_back_in_the_next_window(page: ChatPage, desk: Desk, qtbot: QtBot) -> None:
    chat = _answered(desk)
    page.open_chat(chat)
    page.save_layout()
    again = ChatPage(desk.context)
    qtbot.addWidget(again)
    desk.say_state()
    assert again.session.chat_id == chat


def test_everything_has_a_name_and_narrow_windows_fold_the_panel(page: ChatPage, desk: Desk) -> None:
    page.open_chat(_answered(desk))
    from PySide6.QtWidgets import QAbstractButton

    nameless = [
        type(button).__name__
        for button in page.findChildren(QAbstractButton)
        if button.isVisible() and not button.accessibleName()
    ]
    assert nameless == []
    assert page.inspector.isVisible()
    page.resize(1000, 700)
    assert not page.inspector.isVisible()
    page.header.panel.click()
    assert page.inspector.isVisible()


def test_russian_words_fit(desk: Desk, qtbot: QtBot) -> None:
    """Nothing is pushed out of its column by longer words."""
    from app.ui.i18n import set_language

    set_language("ru")
    try:
        page = ChatPage(desk.context)
        qtbot.addWidget(page)
        page.resize(1208, 736)
        page.restore_layout()
        page.show()
        page.open_chat(_answered(desk))
        page.inspector.ledger.show_counts(desk.client.count())
        page.inspector.sampling.pencil.click()
        for region in (page.composer, page.column, page.inspector, page.header):
            for widget in region.findChildren(QWidget):
                if widget.isVisible():
                    right = widget.mapTo(region, widget.rect().topRight()).x()
                    assert right <= region.width(), (type(widget).__name__, widget.accessibleName(), right)
        page.inspector.sampling.pencil.click()
        qtbot.wait(20)
        for widget in page.inspector.sampling.findChildren(QWidget):
            if widget.isVisible():
                right = widget.mapTo(page.inspector, widget.rect().topRight()).x()
                assert right <= page.inspector.width(), (
                    type(widget).__name__,
                    widget.accessibleName(),
                    right,
                )
        page.hide()
    finally:
        set_language("en")


def test_prefill_and_tool_calls_are_shown(page: ChatPage, desk: Desk) -> None:
    from app.shared.engine import ToolCall

    page.composer.set_text("Weather?")
    page.composer.send.click()
    answer = page.session.messages[-1].id
    desk.client.write(answer, prefill_fraction=0.42)
    view = _answer_view(page)
    assert view._waiting.text() == "Reading the prompt, 42%" and view._progress.isVisible()
    desk.client.write(answer, text="Looking.", tokens=2)
    assert not view._waiting.isVisible() and not view._progress.isVisible()
    call = ToolCall(id="1", name="weather", arguments='{"city": "Омск"}')
    desk.client.messages[answer] = desk.client.messages[answer].model_copy(update={"tool_calls": (call,)})
    desk.client.finish(answer)
    calls = _answer_view(page)._calls
    assert calls is not None and "weather" in calls.source and '"city": "Омск"' in calls.source


def test_words_typed_while_the_first_message_is_on_its_way_stay(page: ChatPage, desk: Desk) -> None:
    page.composer.set_text("First")
    opened = page.session.open

    def slow_open(chat_id: str | None, **more: object) -> None:
        page.composer.set_text("typed meanwhile")
        opened(chat_id)

    page.session.open = slow_open  # type: ignore[method-assign]  # a service that takes its time
    page.composer.send.click()
    assert page.session.chat_id is not None
    assert page.composer.text == "typed meanwhile"
    page.session.open = opened  # type: ignore[method-assign]  # as above
    page.new_chat()
    assert page.composer.text == ""


def test_a_temporary_chat_gone_with_its_service_closes(page: ChatPage, desk: Desk) -> None:
    page.column.temporary.click()
    page.composer.set_text("Secret")
    page.composer.send.click()
    assert desk.client.called("create_chat") == [True]
    assert page.column.temporary.isChecked()
    desk.client.chats_kept.clear()
    desk.say_state()
    assert page.session.chat_id is None


def test_the_theme_changes_under_an_open_chat(page: ChatPage, desk: Desk, qapp: QApplication) -> None:
    from app.ui.theme import apply_theme, theme

    code = "Text with `code`.\n\n```python\nx = 1\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    page.open_chat(_answered(desk, answer=code))
    view = _answer_view(page)
    height = view.height()
    try:
        apply_theme(qapp, "light")
        qapp.processEvents()
        assert view.height() == height
        bubble = page.conversation.view_of(page.session.messages[0].id)
        assert bubble is not None
        color = bubble.grab().toImage().pixelColor(bubble.width() - 6, bubble.height() // 2).name()
        assert color == theme().hex("bg3").lower()
    finally:
        apply_theme(qapp, "dark")


def test_many_files_take_several_rows_and_not_more_width(page: ChatPage, desk: Desk, qtbot: QtBot) -> None:
    width, height = page.composer.width(), page.composer.height()
    page.composer.set_attachments([Attachment(name=f"notes number {n}.txt", text="x" * 99) for n in range(9)])
    qtbot.waitUntil(lambda: page.composer.height() > height + 60, timeout=2000)
    assert page.composer.width() == width
    chips = page.composer._chips
    assert len({chip.y() for chip in chips}) >= 3
    assert all(chip.geometry().right() <= width for chip in chips)
    page.composer.set_attachments(())
    qtbot.waitUntil(lambda: page.composer.height() == height, timeout=2000)


def test_ctrl_enter_saves_an_edit_and_escape_gives_up(page: ChatPage, desk: Desk, qtbot: QtBot) -> None:
    page.open_chat(_answered(desk))
    question = page.session.messages[0].id
    page.conversation.asked.emit("edit", question)
    view = page.conversation.view_of(question)
    assert view is not None and view.editor is not None
    qtbot.keyClick(view.editor.area, Qt.Key.Key_Escape)
    assert view.editor is None
    page.conversation.asked.emit("edit", question)
    assert view.editor is not None
    view.editor.area.setPlainText("By keyboard")
    qtbot.keyClick(view.editor.area, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert desk.client.called("edit_message") == [(question, "By keyboard", True, False)]


def test_tab_goes_through_the_messages_before_the_composer(page: ChatPage, desk: Desk, qtbot: QtBot) -> None:
    page.resize(1200, 900)
    page.show()
    page.open_chat(_answered(desk))
    conversation = page.conversation
    qtbot.waitUntil(lambda: bool(conversation.entries) and conversation.entries[-1].view is not None)
    stops: list[QWidget] = []
    conversation.setFocus()
    while (focus := page.focusWidget()) is not None and focus is not page.composer.field:
        assert focus not in stops, "the composer is reached"
        stops.append(focus)
        qtbot.keyClick(focus, Qt.Key.Key_Tab)
    assert stops[0] is conversation and len(stops) > 3
    tops = [stop.mapTo(conversation, QPoint(0, 0)).y() for stop in stops[1:]]
    assert all(conversation.isAncestorOf(stop) for stop in stops[1:])
    assert tops == sorted(tops)
