"""The service, typed: one method a route. No Qt; every call blocks, so the window calls from other threads.

Methods raise the errors of `app.shared.errors` that the service sent, or `ServiceUnreachable`.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import httpx
from pydantic import TypeAdapter, ValidationError

from app.client.http import Requests, error_of, part, unreachable
from app.models.anatomy_tensors import Anatomy
from app.models.card import ModelCard
from app.models.hf_config import Explanation
from app.shared.chats import Attachment, Chat, ChatView, Folder, Message, SearchHit
from app.shared.engine import ChatTurn, EngineState, RemoteServer, SettingValue, TokenCounts
from app.shared.events import EVENT, Event, LogLine, State
from app.shared.forecast import FitAnswer, Forecast, ForecastError, Keep
from app.shared.presets import Preset
from app.shared.telemetry import Marker, TelemetryHistory

Values = Mapping[str, SettingValue | None]

_CARDS = TypeAdapter(tuple[ModelCard, ...])
_CHATS = TypeAdapter(tuple[Chat, ...])
_FOLDERS = TypeAdapter(tuple[Folder, ...])
_HITS = TypeAdapter(tuple[SearchHit, ...])
_LOG = TypeAdapter(tuple[LogLine, ...])
_MARKERS = TypeAdapter(tuple[Marker, ...])
_MESSAGES = TypeAdapter(tuple[Message, ...])
_PRESETS = TypeAdapter(tuple[Preset, ...])
_REMOTES = TypeAdapter(tuple[RemoteServer, ...])
_SENT = TypeAdapter(dict[str, Message])
_JSON: TypeAdapter[Any] = TypeAdapter(Any)


class ServiceClient:
    """Everything the window and the command line do, over HTTP."""

    def __init__(self, address: str, token: str) -> None:
        self._requests = Requests(address, token)

    @property
    def address(self) -> str:
        return self._requests.address

    @property
    def token(self) -> str:
        return self._requests.token

    def close(self) -> None:
        """Drop the connections."""
        self._requests.close()

    # ---- the service itself

    def health(self) -> dict[str, Any]:
        """Return status, version and pid; answers at once or not at all."""
        told: dict[str, Any] = self._requests.ask("GET", "/health", _JSON, seconds=5.0)
        return told

    def state(self) -> State:
        """Return the snapshot of everything that changes."""
        return self._requests.ask("GET", "/api/state", State)

    def events(self, stop: threading.Event) -> Generator[Event, None, None]:
        """Yield events from now on, the state first, until `stop` is set; raises when the connection breaks.

        The service speaks at least every ten seconds, so `stop` is noticed by then.
        """
        try:
            with self._requests.stream("/events") as answer:
                if answer.status_code >= 400:
                    answer.read()
                    raise error_of(answer)
                data = ""
                for line in answer.iter_lines():
                    if stop.is_set():
                        return
                    if line.startswith("data:"):
                        data += line[5:].strip()
                    elif not line and data:
                        told, data = data, ""
                        try:
                            event = EVENT.validate_json(told)
                        except ValidationError:
                            continue  # of a newer service: an event this version knows nothing of
                        yield event
        except (httpx.HTTPError, RuntimeError) as error:
            raise unreachable(self.address, error) from error

    # ---- engine

    def load(
        self,
        model: str | None = None,
        *,
        remote: RemoteServer | str | None = None,
        preset: str | None = None,
        values: Values | None = None,
        wait: bool = False,
    ) -> EngineState:
        """Load a file (path or known id) or a remote server; with `wait` until it is loaded or failed."""
        told = remote.model_dump() if isinstance(remote, RemoteServer) else remote
        body = {"model": model, "remote": told, "preset": preset, "values": dict(values or {})}
        return self._engine("load", body, wait=wait)

    def cancel(self) -> EngineState:
        """Cancel the load under way, or stop the answers being written."""
        return self._engine("cancel")

    def eject(self) -> EngineState:
        """Free the model."""
        return self._engine("eject")

    def reload(self, *, wait: bool = False) -> EngineState:
        """Load the last plan again."""
        return self._engine("reload", wait=wait)

    def set_values(self, values: Values) -> EngineState:
        """Change sample-stage values for the next answers; None goes back to the preset's."""
        return self._engine("values", {"values": dict(values)})

    def count(
        self,
        *,
        chat_id: str | None = None,
        messages: Sequence[ChatTurn] = (),
        draft: str = "",
        thinking: bool | None = None,
    ) -> TokenCounts:
        """Count what a conversation with what is typed so far takes of the context."""
        turns = [turn.model_dump() for turn in messages]
        body = {"chat_id": chat_id, "messages": turns, "draft": draft, "thinking": thinking}
        return self._requests.ask("POST", "/api/engine/count", TokenCounts, body=body)

    def _engine(self, what: str, body: Mapping[str, Any] | None = None, *, wait: bool = False) -> EngineState:
        return self._requests.ask(
            "POST",
            f"/api/engine/{what}",
            EngineState,
            body=body if body is not None else {},
            query={"wait": "true"} if wait else None,
            seconds=None if wait else 60.0,
        )

    # ---- models

    def models(self) -> tuple[ModelCard, ...]:
        """Return the known models: the guide, files opened before, files in watched folders."""
        return self._requests.ask("GET", "/api/models", _CARDS)

    def inspect(self, path: str) -> ModelCard:
        """Read a file's header."""
        return self._requests.ask("POST", "/api/models/inspect", ModelCard, body={"path": path})

    def anatomy(self, path: str) -> Anatomy:
        """Read a file's shape, what its parts weigh and what works on one token."""
        return self._requests.ask("GET", "/api/models/anatomy", Anatomy, query={"path": path})

    def explain_config(self, text: str) -> Explanation:
        """Explain a Hugging Face configuration file or GGUF keys line by line."""
        return self._requests.ask("POST", "/api/models/explain", Explanation, body={"text": text})

    def forget_model(self, path: str) -> None:
        """Take a file off the list; the file stays."""
        self._requests.do("POST", "/api/models/forget", body={"path": path})

    def set_model_folders(self, folders: Sequence[str]) -> None:
        """Watch these folders for GGUF files."""
        self._requests.do("POST", "/api/models/folders", body={"folders": list(folders)})

    def remotes(self) -> tuple[RemoteServer, ...]:
        """Return the saved remote servers."""
        return self._requests.ask("GET", "/api/remotes", _REMOTES)

    def save_remote(self, server: RemoteServer) -> None:
        """Keep a remote server under its name."""
        self._requests.do("PUT", f"/api/remotes/{part(server.name)}", body=server.model_dump())

    def remove_remote(self, name: str) -> None:
        """Forget a remote server."""
        self._requests.do("DELETE", f"/api/remotes/{part(name)}")

    # ---- presets and preferences

    def presets(self) -> tuple[Preset, ...]:
        """Return shipped and own presets."""
        return self._requests.ask("GET", "/api/presets", _PRESETS)

    def preset(self, name: str) -> Preset:
        """Return one preset."""
        return self._requests.ask("GET", f"/api/presets/{part(name)}", Preset)

    def save_preset(self, preset: Preset) -> Preset:
        """Save a preset under its name."""
        body = preset.model_dump(mode="json")
        return self._requests.ask("PUT", f"/api/presets/{part(preset.name)}", Preset, body=body)

    def remove_preset(self, name: str) -> None:
        """Delete an own preset."""
        self._requests.do("DELETE", f"/api/presets/{part(name)}")

    def rename_preset(self, name: str, new_name: str) -> Preset:
        """Give a preset another name."""
        return self._requests.ask(
            "POST", f"/api/presets/{part(name)}/rename", Preset, body={"name": new_name}
        )

    def duplicate_preset(self, name: str, new_name: str | None = None) -> Preset:
        """Copy a preset; the service finds a free name when none is given."""
        body = {"name": new_name}
        return self._requests.ask("POST", f"/api/presets/{part(name)}/duplicate", Preset, body=body)

    def import_preset(self, toml: str, name: str | None = None) -> Preset:
        """Take in a preset's TOML text."""
        body = {"toml": toml, "name": name}
        return self._requests.ask("POST", "/api/presets/import", Preset, body=body)

    def set_default_preset(self, preset: str | None, *, model_path: str | None = None) -> None:
        """Use this preset by itself: for one model, or for all."""
        self._requests.do("PUT", "/api/presets/default", body={"model_path": model_path, "preset": preset})

    def preferences(self) -> dict[str, Any]:
        """Return the service's preferences."""
        told: dict[str, Any] = self._requests.ask("GET", "/api/preferences", _JSON)
        return told

    def set_preferences(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change some preferences and return all."""
        told: dict[str, Any] = self._requests.ask("PUT", "/api/preferences", _JSON, body=dict(changes))
        return told

    # ---- chats

    def chats(self) -> tuple[Chat, ...]:
        """Return all chats, pinned first, newest first."""
        return self._requests.ask("GET", "/api/chats", _CHATS)

    def chat(self, chat_id: str) -> ChatView:
        """Return a chat with the messages on its path."""
        return self._requests.ask("GET", f"/api/chats/{part(chat_id)}", ChatView)

    def create_chat(self, *, title: str = "", folder_id: str | None = None, temporary: bool = False) -> Chat:
        """Begin a chat."""
        body = {"title": title, "folder_id": folder_id, "temporary": temporary}
        return self._requests.ask("POST", "/api/chats", Chat, body=body)

    def change_chat(self, chat_id: str, **changes: Any) -> Chat:
        """Change title, folder_id, pinned or draft."""
        return self._requests.ask("PATCH", f"/api/chats/{part(chat_id)}", Chat, body=changes)

    def remove_chat(self, chat_id: str) -> None:
        """Delete a chat; `restore_chat` undoes it."""
        self._requests.do("DELETE", f"/api/chats/{part(chat_id)}")

    def restore_chat(self, chat_id: str) -> Chat:
        """Take a deleted chat back."""
        return self._requests.ask("POST", f"/api/chats/{part(chat_id)}/restore", Chat, body={})

    def search_chats(self, query: str) -> tuple[SearchHit, ...]:
        """Search all chats' text."""
        return self._requests.ask("GET", "/api/chats/search", _HITS, query={"q": query})

    def folders(self) -> tuple[Folder, ...]:
        """Return the folders in their order."""
        return self._requests.ask("GET", "/api/folders", _FOLDERS)

    def create_folder(self, name: str) -> Folder:
        """Make a folder."""
        return self._requests.ask("POST", "/api/folders", Folder, body={"name": name})

    def change_folder(self, folder_id: str, **changes: Any) -> Folder:
        """Change a folder's name or position."""
        return self._requests.ask("PATCH", f"/api/folders/{part(folder_id)}", Folder, body=changes)

    def remove_folder(self, folder_id: str) -> None:
        """Delete a folder; its chats stay, outside any folder."""
        self._requests.do("DELETE", f"/api/folders/{part(folder_id)}")

    def send(
        self,
        chat_id: str,
        text: str,
        *,
        attachments: Sequence[Attachment] = (),
        parent_id: str | None = None,
        values: Values | None = None,
    ) -> tuple[Message, Message]:
        """Add the person's message and start the answer; return both."""
        files = [file.model_dump() for file in attachments]
        body = {"text": text, "attachments": files, "parent_id": parent_id, "values": dict(values or {})}
        told = self._requests.ask("POST", f"/api/chats/{part(chat_id)}/send", _SENT, body=body)
        return told["user"], told["answer"]

    def answer(
        self,
        chat_id: str,
        parent_id: str,
        *,
        values: Values | None = None,
        continue_message_id: str | None = None,
    ) -> Message:
        """Answer a message once more as a new sibling, or continue an answer; return the answer being written."""
        body = {
            "parent_id": parent_id,
            "values": dict(values or {}),
            "continue_message_id": continue_message_id,
        }
        return self._requests.ask("POST", f"/api/chats/{part(chat_id)}/answer", _SENT, body=body)["answer"]

    def stop_answer(self, message_id: str) -> None:
        """Stop an answer being written; what stands is kept."""
        self._requests.do("POST", f"/api/messages/{part(message_id)}/stop", body={})

    def edit_message(
        self, message_id: str, text: str, *, answer: bool = False, in_place: bool = False
    ) -> dict[str, Message]:
        """Write a message anew: as a sibling (`answer` starts its answer), or in its place."""
        body = {"text": text, "answer": answer, "in_place": in_place}
        return self._requests.ask("POST", f"/api/messages/{part(message_id)}/edit", _SENT, body=body)

    def choose_message(self, message_id: str) -> ChatView:
        """Put this sibling on the path."""
        return self._requests.ask("POST", f"/api/messages/{part(message_id)}/choose", ChatView, body={})

    def remove_message(self, message_id: str) -> None:
        """Delete a message and what follows it; `restore_message` undoes it."""
        self._requests.do("DELETE", f"/api/messages/{part(message_id)}")

    def restore_message(self, message_id: str) -> None:
        """Take a deleted message back."""
        self._requests.do("POST", f"/api/messages/{part(message_id)}/restore", body={})

    def export_chat(self, chat_id: str, *, format: str = "json") -> str:
        """Return a chat as JSON or Markdown text."""
        path = f"/api/chats/{part(chat_id)}/export"
        return self._requests.send("GET", path, query={"format": format}).text

    def import_chats(self, text: str, *, format: str = "json") -> tuple[Chat, ...]:
        """Take in exported chats."""
        body = {"text": text, "format": format}
        return self._requests.ask("POST", "/api/chats/import", _CHATS, body=body)

    def set_chats_aside(self) -> str | None:
        """Keep a damaged chats file under another name, begin with an empty one; return where the old one is."""
        told = self._requests.ask("POST", "/api/chats/set-aside", _JSON, body={})
        path: str | None = told["path"]
        return path

    def preset_toml(self, name: str) -> str:
        """Return a preset's TOML as it stands on disk, comments included."""
        return self._requests.send("GET", f"/api/presets/{part(name)}/export").text

    # ---- forecasts

    def forecast(
        self, model: str | None = None, *, preset: str | None = None, values: Values | None = None
    ) -> Forecast:
        """Return what loading would take of each device; without a model of what is loaded, else of the guide."""
        body = {"model": model, "preset": preset, "values": dict(values or {})}
        return self._requests.ask("POST", "/api/forecast", Forecast, body=body)

    def fit(
        self,
        model: str | None = None,
        *,
        preset: str | None = None,
        values: Values | None = None,
        keep: Keep = "context",
        margin_bytes: int | None = None,
    ) -> FitAnswer:
        """Return the nearest settings that fit; `keep` is given up last. It may take some seconds for a large file."""
        body: dict[str, Any] = {"model": model, "preset": preset, "values": dict(values or {})}
        body |= {"keep": keep, "margin_bytes": margin_bytes}
        return self._requests.ask("POST", "/api/forecast/fit", FitAnswer, body=body, seconds=None)

    def forecast_error(self) -> ForecastError:
        """Return how far forecasts have been off on this machine, by device, with the last loads."""
        return self._requests.ask("GET", "/api/forecast/error", ForecastError)

    # ---- telemetry and log

    def telemetry(self, since: float, until: float, *, points: int = 1500) -> TelemetryHistory:
        """Return the samples between two Unix times, thinned to about `points`."""
        query = {"since": since, "until": until, "points": points}
        return self._requests.ask("GET", "/api/telemetry", TelemetryHistory, query=query)

    def telemetry_csv(self, since: float, until: float) -> str:
        """Return the same stretch unthinned as CSV."""
        query = {"since": since, "until": until}
        return self._requests.send("GET", "/api/telemetry.csv", query=query, seconds=None).text

    def set_telemetry_rate(self, hertz: float) -> None:
        """Sample this often, 0.2 to 10 times a second."""
        self._requests.do("PUT", "/api/telemetry/rate", body={"hertz": hertz})

    def telemetry_rate(self) -> float:
        """Return how often is sampled, per second."""
        told: dict[str, Any] = self._requests.ask("GET", "/api/telemetry/rate", _JSON)
        return float(told["hertz"])

    def watch_process(self, pid: int) -> None:
        """Have the window's process measured too."""
        self._requests.do("PUT", "/api/telemetry/process", body={"role": "window", "pid": pid})

    def markers(self, since: float, until: float) -> tuple[Marker, ...]:
        """Return what happened between two Unix times."""
        return self._requests.ask("GET", "/api/markers", _MARKERS, query={"since": since, "until": until})

    def answers(self, *, since: float | None = None, limit: int = 500) -> tuple[Message, ...]:
        """Return finished answers with their measurements, newest first."""
        return self._requests.ask("GET", "/api/answers", _MESSAGES, query={"since": since, "limit": limit})

    def log(self, since: float = 0.0) -> tuple[LogLine, ...]:
        """Return the log lines after a Unix time."""
        return self._requests.ask("GET", "/api/log", _LOG, query={"since": since})
