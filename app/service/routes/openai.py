"""OpenAI's two routes, so that its official client and everything built on it work against Pult."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from app.service.auth import error_body
from app.service.engine.base import StopFlag
from app.service.openai_wire import ChatCompletionRequest, Completion, ModelNotFound, model_object
from app.service.services import Services, services_of
from app.shared.engine import (
    AnswerDelta,
    AnswerFinished,
    AnswerStarted,
    GenerateRequest,
    JsonObject,
    PrefillProgress,
    TokenEvent,
)
from app.shared.errors import EngineFailed, PultError

T = TypeVar("T")
router = APIRouter(prefix="/v1")


@router.get("/models")
def models(request: Request) -> JsonObject:
    """List the loaded model; an empty list when there is none."""
    model = services_of(request).engine.state().model
    return {"object": "list", "data": [] if model is None else [model_object(model)]}


@router.get("/models/{name:path}")
def model(request: Request, name: str) -> JsonObject:
    """Return the loaded model by its id."""
    loaded = services_of(request).engine.ready_model()
    if name not in (loaded.id, loaded.name, "pult"):
        raise ModelNotFound(
            "The model {model} is not loaded; {loaded} is. Name that one, or load the other first.",
            model=name[:200],
            loaded=loaded.id,
        )
    return model_object(loaded)


@router.post("/chat/completions")
async def chat_completions(request: Request, body: ChatCompletionRequest) -> Response:
    """Answer a conversation, whole or streamed. A client that goes away stops its answer."""
    services = services_of(request)
    loaded = services.engine.ready_model()
    body.check_model(loaded)
    answer = _Answer(services, body.to_request())
    completion = Completion(loaded, body)
    if body.stream:
        # The first event comes once the request is accepted: until then an error still has its HTTP status.
        first = await _unless_gone(request, answer, answer.next())
        if first is None:
            return Response(status_code=499)
        return StreamingResponse(
            _stream(answer, completion, first, request.url.path),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
    whole = await _unless_gone(request, answer, _collected(answer, completion))
    return Response(status_code=499) if whole is None else JSONResponse(whole)


async def _collected(answer: _Answer, completion: Completion) -> JsonObject:
    while True:
        event = await answer.next()
        match event:
            case AnswerDelta():
                completion.collect(event)
            case AnswerFinished():
                return completion.whole(event)


async def _stream(
    answer: _Answer, completion: Completion, first: TokenEvent, path: str
) -> AsyncIterator[bytes]:
    event = first
    try:
        while True:
            match event:
                case AnswerStarted():
                    yield _data(completion.opening(event))
                case PrefillProgress():
                    yield f": prefill {event.done_tokens} {event.total_tokens}\n\n".encode()
                case AnswerDelta():
                    yield _data(completion.delta(event))
                case AnswerFinished():
                    for chunk in completion.closing(event):
                        yield _data(chunk)
                    yield b"data: [DONE]\n\n"
                    return
            event = await answer.next()
    except PultError as error:
        yield _data(error_body(error, path))
    finally:
        answer.stop.set()


def _data(chunk: object) -> bytes:
    return b"data: " + json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


async def _unless_gone(request: Request, answer: _Answer, work: Coroutine[Any, Any, T]) -> T | None:
    """Return what `work` returns; None, with the answer stopped, when the client goes away first."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        answer.stop.set()
        return None
    except asyncio.CancelledError:
        answer.stop.set()
        raise
    finally:
        working.cancel()
        leaving.cancel()


async def _gone(request: Request) -> None:
    """Return when the client has closed its connection; the body has been read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Answer:
    """An answer written on a thread of its own, read from the event loop."""

    def __init__(self, services: Services, request: GenerateRequest) -> None:
        self.stop = StopFlag()
        self._services, self._request = services, request
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[TokenEvent | PultError] = asyncio.Queue()
        threading.Thread(target=self._write, name="completion", daemon=True).start()

    async def next(self) -> TokenEvent:
        """Return the next event, or raise what the answer failed with."""
        event = await self._events.get()
        if isinstance(event, PultError):
            raise event
        return event

    def _write(self) -> None:
        try:
            for event in self._services.engine.generate(self._request, stop=self.stop):
                self._put(event)
        except PultError as error:
            self._put(error)
        except Exception as error:  # noqa: BLE001 - the border of this thread: logged, and told to the client
            self._services.log.crash("completion", error)
            what = f"{type(error).__name__}: {error}"[:300]
            self._put(
                EngineFailed("The answer failed unexpectedly: {what}. The log has the details.", what=what)
            )

    def _put(self, event: TokenEvent | PultError) -> None:
        try:
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)
        except RuntimeError:  # the loop has closed: the service is stopping
            self.stop.set()
