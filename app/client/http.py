"""Requests to the service: JSON in, typed answers out, every failure an error of Pult's own tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from app.shared.errors import (
    BadRequest,
    Conflict,
    EngineFailed,
    ErrorInfo,
    Forbidden,
    NotFound,
    PultError,
    ServiceUnreachable,
    Unauthorised,
    from_info,
)

T = TypeVar("T")

_BY_STATUS: dict[int, type[PultError]] = {
    400: BadRequest,
    401: Unauthorised,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
}

CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0


class Requests:
    """One connection pool to one service. Safe to use from several threads."""

    def __init__(self, address: str, token: str) -> None:
        self.address = address.rstrip("/")
        self.token = token
        self._http = httpx.Client(
            base_url=self.address,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            trust_env=False,  # a proxy from the environment must never see the token
        )

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        kind: type[T] | TypeAdapter[T],
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        seconds: float | None = READ_SECONDS,
    ) -> T:
        """Send a request and return the answer as `kind`.

        Raises the service's own error, or `ServiceUnreachable`. `seconds` None waits as long as it takes.
        """
        answer = self.send(method, path, body=body, query=query, seconds=seconds)
        adapter = kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)
        try:
            return adapter.validate_json(answer.content)
        except ValidationError as error:
            raise ServiceUnreachable(
                "{address} answered {path} in a form Pult does not know. It may be another program or another version.",
                address=self.address,
                path=path,
                details=str(error)[:2000],
            ) from error

    def do(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        seconds: float | None = READ_SECONDS,
    ) -> None:
        """Send a request whose answer does not matter."""
        self.send(method, path, body=body, query=query, seconds=seconds)

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        seconds: float | None = READ_SECONDS,
    ) -> httpx.Response:
        """Send a request and return the good answer; raise what the service said otherwise."""
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            answer = self._http.request(
                method,
                path,
                json=body,
                params=asked or None,
                timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS),
            )
        except (httpx.HTTPError, RuntimeError) as error:  # RuntimeError: the client was closed meanwhile
            raise unreachable(self.address, error) from error
        if answer.status_code >= 400:
            raise error_of(answer)
        return answer

    def stream(self, path: str) -> Any:
        """Open a stream (a context manager of httpx) that may stay silent for up to 30 s."""
        return self._http.stream("GET", path, timeout=httpx.Timeout(30.0, connect=CONNECT_SECONDS))


def unreachable(address: str, error: Exception) -> ServiceUnreachable:
    """Word a connection that failed."""
    if isinstance(error, httpx.TimeoutException):
        return ServiceUnreachable(
            "Pult's service at {address} did not answer in time. It may be busy; try again.",
            address=address,
            details=repr(error),
        )
    return ServiceUnreachable(
        "Pult's service at {address} does not answer: {reason}. Start it with pult serve, or open Pult again.",
        address=address,
        reason=str(error).strip().rstrip(".") or type(error).__name__,
        details=repr(error),
    )


def error_of(answer: httpx.Response) -> PultError:
    """Rebuild the error that an answer carries; foreign answers become `ServiceUnreachable`."""
    try:
        told = answer.json()["error"]
        if "template" in told:
            return from_info(ErrorInfo.model_validate(told))
        sentence = str(told["message"])
    except (ValueError, KeyError, TypeError):
        return ServiceUnreachable(
            "{address} answered {status}, which is not how Pult's service answers. Is another program on this port?",
            address=str(answer.request.url.copy_with(raw_path=b"/")).rstrip("/"),
            status=f"HTTP {answer.status_code}",
            details=answer.text[:500],
        )
    return worded(sentence, kind=str(told.get("code") or ""), status=answer.status_code)


def worded(sentence: str, *, kind: str, status: int = 500) -> PultError:
    """Rebuild an error that came in OpenAI's shape: of its own kind if that is known here, else by its status."""
    info = ErrorInfo(
        kind=kind, sentence=sentence, template="{sentence}", values={"sentence": sentence}, status=status
    )
    error = from_info(info)
    if type(error) is PultError:
        error = _BY_STATUS.get(status, EngineFailed)("{sentence}", sentence=sentence)
    return error


def part(text: str) -> str:
    """Return `text` as one part of a path."""
    return quote(text, safe="")
