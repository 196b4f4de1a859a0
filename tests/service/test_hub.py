"""The hub's streams: a state first, everything after it once, merged, and never without bound."""

from __future__ import annotations

import asyncio
import threading

from app.service.hub import EventHub
from app.shared.chats import Message
from app.shared.engine import EngineState
from app.shared.events import AnswerText, Event, LogLine, MessageChanged, State


def state() -> State:
    return State(version="1", address="http://127.0.0.1:1", engine=EngineState())


def text(words: str, message_id: str = "m") -> AnswerText:
    return AnswerText(chat_id="c", message_id=message_id, text=words)


def line(words: str) -> LogLine:
    return LogLine(at=1.0, level="info", source="service", text=words)


def test_state_comes_first_and_text_is_merged() -> None:
    async def scenario() -> list[Event]:
        hub = EventHub()
        heard: list[Event] = []
        stream = hub.subscribe(state, quiet_seconds=5)
        first = await anext(stream)
        assert first is not None
        heard.append(first[1])
        for word in ("a", "b", "c"):
            hub.publish(text(word))
        hub.publish(line("between"))
        hub.publish(MessageChanged(message=Message(id="m", chat_id="c", role="assistant", created_at=1.0)))
        hub.publish(text("d"))
        while len(heard) < 5:
            numbered = await anext(stream)
            assert numbered is not None
            heard.append(numbered[1])
        await stream.aclose()  # type: ignore[attr-defined]
        assert hub.listener_count == 0
        return heard

    first, merged, said, changed, later = asyncio.run(scenario())
    assert isinstance(first, State) and isinstance(said, LogLine) and isinstance(changed, MessageChanged)
    assert isinstance(merged, AnswerText) and merged.text == "abc"
    assert isinstance(later, AnswerText) and later.text == "d"


def test_a_slow_listener_gets_a_fresh_state_and_nothing_grows() -> None:
    async def scenario() -> list[Event]:
        hub = EventHub(limit=10)
        stream = hub.subscribe(state, quiet_seconds=5)
        await anext(stream)
        for number in range(1000):
            hub.publish(line(str(number)))
        pending = max(len(listener.pending) for listener in hub._listeners)
        assert pending <= 10
        heard = [await anext(stream)]
        hub.publish(line("after"))
        heard.append(await anext(stream))
        await stream.aclose()  # type: ignore[attr-defined]
        return [numbered[1] for numbered in heard if numbered is not None]

    fresh, after = asyncio.run(scenario())
    assert isinstance(fresh, State) and isinstance(after, LogLine) and after.text == "after"


def test_quiet_times_are_told_and_closing_ends_the_stream() -> None:
    async def scenario() -> list[bool]:
        hub = EventHub()
        heard = []
        async for numbered in hub.subscribe(state, quiet_seconds=0.02):
            heard.append(numbered is None)
            if len(heard) == 3:
                hub.close()
        return heard

    assert asyncio.run(scenario()) == [False, True, True]


def test_publishing_from_many_threads_loses_nothing_and_a_snapshot_never_counts_twice() -> None:
    async def scenario() -> str:
        hub = EventHub()
        said: list[str] = []

        def snapshot() -> State:
            message = Message(id="m", chat_id="c", role="assistant", text="".join(said), created_at=1.0)
            return state().model_copy(update={"answering": (message,)})

        def speak() -> None:
            for _ in range(500):
                with hub.order:
                    said.append("x")
                    hub.publish(text("x"))

        threads = [threading.Thread(target=speak) for _ in range(4)]
        for thread in threads:
            thread.start()
        heard = ""
        async for numbered in hub.subscribe(snapshot, quiet_seconds=0.3):
            match numbered:
                case None:
                    break
                case (_, State() as fresh):
                    heard = fresh.answering[0].text
                case (_, AnswerText() as more):
                    heard += more.text
        for thread in threads:
            thread.join()
        return heard

    assert asyncio.run(scenario()) == "x" * 2000
