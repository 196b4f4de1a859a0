"""The one tree of errors that a person may read.

An error is a sentence template in English and its values: what happened, with which values, what to do
next. The template travels with the values, so that the window can say it in the user's language and
format the numbers; `sentence` is the English text for logs, the command line and HTTP. No codes, no
exclamation marks: `kind` is for programs, `details` for the log.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from app.shared.units import Value, value_words


class ErrorInfo(BaseModel):
    """An error on the wire: over the pipe, in events and in HTTP bodies.

    `remedies` are words for what would help, which the window turns into buttons: `fit`, `log`, `reload`,
    `choose_model`, `edit_preset`, `shorten_prompt`, `free_disk`, `settings`.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    sentence: str
    template: str
    values: dict[str, Value] = {}
    remedies: tuple[str, ...] = ()
    details: str = ""
    status: int = 500


class PultError(Exception):
    """Base of every error that Pult words for a person.

    `PultError("Experts per token is {value}; this model has {count} experts.", value=99, count=16)`.
    Values may be int, float, str or None; a name's ending gives the unit (see `units.value_words`).
    """

    kind: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    default_remedies: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        template: str,
        /,
        *,
        remedies: tuple[str, ...] | None = None,
        details: str = "",
        **values: Value,
    ) -> None:
        self.template = template
        self.values: dict[str, Value] = dict(values)
        self.remedies = self.default_remedies if remedies is None else remedies
        self.details = details
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """The English sentence with its values filled in."""
        words = {name: value_words(name, value) for name, value in self.values.items()}
        return self.template.format_map(words) if words else self.template

    def info(self) -> ErrorInfo:
        """Return the error as it travels between processes."""
        return ErrorInfo(
            kind=self.kind,
            sentence=self.sentence,
            template=self.template,
            values=self.values,
            remedies=self.remedies,
            details=self.details,
            status=self.status,
        )


class BadRequest(PultError):
    """The request itself cannot be carried out as given."""

    kind = "bad_request"
    status = 400


class BadValue(BadRequest):
    """A setting or field has a value it may not have. `key` names it."""

    kind = "bad_value"
    default_remedies = ("edit_preset",)

    def __init__(
        self,
        template: str,
        /,
        *,
        key: str,
        remedies: tuple[str, ...] | None = None,
        details: str = "",
        **values: Value,
    ) -> None:
        self.key = key
        super().__init__(template, remedies=remedies, details=details, key=key, **values)


class PromptTooLong(BadRequest):
    """The prompt does not fit the context; values `prompt_tokens`, `context_tokens`."""

    kind = "prompt_too_long"
    default_remedies = ("shorten_prompt", "edit_preset")


class Unauthorised(PultError):
    """The token is missing or wrong."""

    kind = "unauthorised"
    status = 401


class Forbidden(PultError):
    """The request comes from a foreign host or origin."""

    kind = "forbidden"
    status = 403


class NotFound(PultError):
    """A named thing (chat, preset, model, file) does not exist."""

    kind = "not_found"
    status = 404


class ModelFileMissing(NotFound):
    """No file at the given path."""

    kind = "model_file_missing"
    default_remedies = ("choose_model",)


class Conflict(PultError):
    """The thing asked for contradicts the present state."""

    kind = "conflict"
    status = 409


class NoModelLoaded(Conflict):
    """An answer was asked for and no model is loaded."""

    kind = "no_model_loaded"
    default_remedies = ("choose_model",)


class Busy(Conflict):
    """The engine is loading or ejecting; or a name is taken."""

    kind = "busy"


class Overloaded(Busy):
    """More answers are waiting than the engine takes."""

    kind = "overloaded"
    status = 429


class Cancelled(PultError):
    """The person, or the client that went away, stopped it."""

    kind = "cancelled"
    status = 499


class ModelUnreadable(PultError):
    """The file is not a GGUF that this llama.cpp can open: truncated, wrong magic, unknown architecture."""

    kind = "model_unreadable"
    status = 422
    default_remedies = ("choose_model", "log")


class OutOfMemory(PultError):
    """A device or the RAM ran out, or would have; values `asked_bytes`, `free_bytes`."""

    kind = "out_of_memory"
    status = 507
    default_remedies = ("fit", "edit_preset", "log")


class StorageFailed(PultError):
    """A file could not be written or read: disk full, no permission, damaged database."""

    kind = "storage_failed"
    status = 507
    default_remedies = ("free_disk", "log")


class EngineFailed(PultError):
    """The engine refused or failed without dying."""

    kind = "engine_failed"
    status = 502
    default_remedies: ClassVar[tuple[str, ...]] = ("log",)


class EngineDied(EngineFailed):
    """The engine's process ended by itself; the sentence says how and what to change."""

    kind = "engine_died"
    default_remedies = ("reload", "log")


class EngineHung(EngineDied):
    """The engine's process stopped answering and was ended."""

    kind = "engine_hung"


class RemoteFailed(PultError):
    """A remote OpenAI-style server refused, failed or could not be reached."""

    kind = "remote_failed"
    status = 502
    default_remedies = ("settings", "log")


class ServiceUnreachable(PultError):
    """The service does not answer; the window restarts it."""

    kind = "service_unreachable"
    status = 503


def _tree(root: type[PultError]) -> dict[str, type[PultError]]:
    kinds = {root.kind: root}
    for child in root.__subclasses__():
        kinds.update(_tree(child))
    return kinds


def from_info(info: ErrorInfo) -> PultError:
    """Rebuild the error that `info` describes, of its own class; an unknown kind becomes `PultError`."""
    cls = _tree(PultError).get(info.kind, PultError)
    error = cls.__new__(cls)
    PultError.__init__(
        error,
        info.template,
        remedies=info.remedies,
        details=info.details,
        **info.values,
    )
    if isinstance(error, BadValue):
        error.key = str(info.values.get("key", ""))
    return error
