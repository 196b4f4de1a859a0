"""What a remote server's refusals, silences and wrong pages mean, each in one sentence."""

from __future__ import annotations

import json

import httpx

from app.shared.engine import JsonObject, RemoteServer
from app.shared.errors import BadRequest, PromptTooLong, PultError, RemoteFailed


def parsed_json(text: str, server: RemoteServer) -> JsonObject:
    """Return the JSON object in `text`, or raise what it is instead."""
    try:
        parsed = json.loads(text)
    except ValueError:
        raise not_json(text, server) from None
    if not isinstance(parsed, dict):
        raise not_json(text, server)
    return parsed


def not_json(text: str, server: RemoteServer) -> RemoteFailed:
    """Say that something else than a model's server answers there."""
    head = text.lstrip()[:200].lower()
    what = "a web page" if head.startswith(("<!doctype", "<html")) else "something that is not JSON"
    return RemoteFailed(
        "{url} answered with {what} where a model's answer was expected. Check the address: it usually ends in /v1.",
        url=server.url,
        what=what,
        details=text[:2000],
    )


def status_of(chunk: JsonObject) -> int:
    """Return the HTTP status that an error inside a stream stands for."""
    error = chunk.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 500


def said_by(text: str) -> str:
    """Return the server's own words out of an error body, in OpenAI's, vLLM's or FastAPI's shape."""
    try:
        body = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    error = body.get("error", body)
    if isinstance(error, dict):
        error = error.get("message") or error.get("sentence") or error.get("detail") or ""
    return " ".join(str(error).split())[:300].rstrip(".")


def refused(status: int, text: str, server: RemoteServer) -> PultError:
    """Word an answer with an error status, with the server's own words where it has some."""
    name, said = server.name or server.url, said_by(text)
    if status in (401, 403):
        return RemoteFailed(
            "{name} refuses the key. Enter the right key for {url} in Settings.",
            name=name,
            url=server.url,
            details=text[:2000],
        )
    if status == 404:
        return RemoteFailed(
            "{name} has nothing at {url} for this. Check that the address ends in /v1 and the model's name{said}.",
            name=name,
            url=server.url,
            said=f": {said}" if said else "",
            details=text[:2000],
        )
    if status in (400, 413, 422) and any(word in said.lower() for word in ("context", "too long", "maximum")):
        return PromptTooLong("The prompt is too long for {name}: {said}. Shorten it.", name=name, said=said)
    if status in (400, 409, 422) and said:
        return BadRequest("{name} refused the request: {said}.", name=name, said=said)
    if status == 429:
        return RemoteFailed("{name} has too many requests just now. Ask again in a moment.", name=name)
    if said:
        return RemoteFailed(
            "{name} failed: {said}. Look at the server's log.", name=name, said=said, details=text[:2000]
        )
    if text.lstrip()[:1] == "<":
        return not_json(text, server)
    return RemoteFailed(
        "{name} failed without saying why. Look at the server's log.",
        name=name,
        details=f"HTTP {status}\n{text[:2000]}",
    )


def unreachable(error: Exception, server: RemoteServer) -> RemoteFailed:
    """Word a connection that failed."""
    url = server.url
    match error:
        case httpx.ConnectTimeout():
            words = "{url} does not answer. Check the address, and that the machine is reachable from here."
        case httpx.ConnectError():
            words = "Nothing answers at {url}. Start the server there, or check the address and the port."
        case httpx.ReadTimeout():
            words = "{url} fell silent in the middle. It may be overloaded; look at it and ask again."
        case httpx.RemoteProtocolError() | httpx.ReadError():
            words = "{url} closed the connection in the middle. Ask again, and look at the server's log if it repeats."
        case httpx.InvalidURL() | httpx.UnsupportedProtocol():
            words = "{url} is not an address that can be called. It takes http:// or https:// and a host."
        case _:
            words = "{url} cannot be asked. Check the address."
    return RemoteFailed(words, url=url, details=f"{type(error).__name__}: {error}")
