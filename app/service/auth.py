"""Who may talk to the service: a token, the right `Host`, no foreign `Origin`, no endless bodies.

Pure ASGI, so that it also stands before streams. The `Host` check comes first: it is what keeps a web page that rebinds its
name to 127.0.0.1 away, even one that has learnt the token.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.shared.errors import BadRequest, Forbidden, PultError, Unauthorised

BODY_LIMIT_BYTES = 64 * 1024 * 1024
OPEN_PATHS = frozenset({"/health"})
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class TooLarge(BadRequest):
    """The body is longer than the service reads."""

    kind = "too_large"
    status = 413


def new_token() -> str:
    """Return a fresh secret for one run of the service."""
    return secrets.token_urlsafe(32)


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path` at once and readable by this user only. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def host_names(listen: str, port: int) -> tuple[str, ...]:
    """Return the `Host` values a service listening on `listen` answers to, each with its port.

    Beyond loopback these are this machine's own names and addresses, never "any name".
    """
    names = set(LOOPBACK)
    if listen not in LOOPBACK:
        if listen in ("0.0.0.0", "::", ""):
            names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
            for addresses in psutil.net_if_addrs().values():
                names |= {
                    address.address.split("%")[0].lower()
                    for address in addresses
                    if address.family in (socket.AF_INET, socket.AF_INET6)
                }
        else:
            names.add(listen.lower())
    return tuple(sorted(f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in names))


class Gate:
    """ASGI middleware that lets a request through or answers it with one sentence."""

    def __init__(
        self, app: ASGIApp, *, token: str, hosts: Iterable[str], body_limit_bytes: int = BODY_LIMIT_BYTES
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = frozenset(host.lower() for host in hosts)
        self._body_limit_bytes = body_limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        try:
            self._check(scope, headers)
        except PultError as error:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await refuse(error, str(scope["path"]), send)
            return
        taken = 0
        over: PultError | None = None
        answered = False

        async def limited() -> Message:
            nonlocal taken, over
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                if taken > self._body_limit_bytes:
                    over = self._too_large(taken)
                    raise over
            return message

        async def unless_over(message: Message) -> None:
            # A framework words a body that could not be read in its own way; the reason is ours to tell.
            nonlocal answered
            if over is None:
                await send(message)
            elif not answered:
                answered = True
                await refuse(over, str(scope["path"]), send)

        await self._app(scope, limited, unless_over)

    def _check(self, scope: Scope, headers: dict[bytes, list[bytes]]) -> None:
        hosts = headers.get(b"host", [])
        host = hosts[0].decode("latin-1").lower() if len(hosts) == 1 else ""
        if host not in self._hosts:
            raise Forbidden(
                "The request names the host {host}, and this service answers only to {allowed}."
                " Use that address, or start it with --listen.",
                host=host[:200] or "(none)",
                allowed=", ".join(sorted(self._hosts)),
            )
        for origin in headers.get(b"origin", []):
            text = origin.decode("latin-1").lower()
            parts = urlsplit(text)
            if parts.scheme not in ("http", "https") or parts.netloc not in self._hosts:
                raise Forbidden(
                    "The request comes from a page of {origin}, and pages of other sites may not use this service."
                    " Call it from a program instead.",
                    origin=text[:200],
                )
        if scope["path"] not in OPEN_PATHS:
            self._check_token(headers.get(b"authorization", []))
        for length in headers.get(b"content-length", []):
            if length.isdigit() and int(length) > self._body_limit_bytes:
                raise self._too_large(int(length))

    def _check_token(self, given: list[bytes]) -> None:
        if not given:
            raise Unauthorised(
                "The request has no token. Send the header Authorization: Bearer TOKEN with the service's token."
            )
        scheme, _, token = given[0].strip().partition(b" ")
        right = secrets.compare_digest(token.strip(), self._token)
        if len(given) != 1 or scheme.lower() != b"bearer" or not right:
            raise Unauthorised(
                "The token is not this service's. It changes with every start unless --token-file names one."
            )

    def _too_large(self, size: int) -> TooLarge:
        return TooLarge(
            "The request's body has {body_bytes}, and the service reads up to {limit_bytes}. Send it in parts.",
            body_bytes=size,
            limit_bytes=self._body_limit_bytes,
        )


def error_body(error: PultError, path: str) -> dict[str, object]:
    """Return the JSON of `error`: OpenAI's shape under /v1, Pult's elsewhere."""
    info = error.info()
    if path.startswith("/v1"):
        kinds = {
            401: "authentication_error",
            403: "permission_error",
            404: "not_found_error",
            429: "rate_limit_error",
        }
        kind = kinds.get(info.status, "invalid_request_error" if info.status < 500 else "server_error")
        param = getattr(error, "param", None) or info.values.get("key")
        return {"error": {"message": info.sentence, "type": kind, "param": param, "code": info.kind}}
    return {"error": info.model_dump(mode="json")}


async def refuse(error: PultError, path: str, send: Send) -> None:
    """Answer with `error` without reading any more of the request."""
    body = json.dumps(error_body(error, path)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.status == 413:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
