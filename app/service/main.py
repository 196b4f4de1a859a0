"""The service's process: put the parts together, listen, say where, and leave nothing behind.

`run` is what `pult serve` calls. With a parent it ends when the parent's end of stdin closes, whatever the parent died of;
the engine's worker ends the same way when this process does.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import uvicorn

from app import __version__
from app.service.answers import Answers
from app.service.app import create_app
from app.service.auth import LOOPBACK, host_names, new_token, write_private
from app.service.engine.base import Engine
from app.service.engine_desk import EngineDesk
from app.service.hub import EventHub
from app.service.load_plans import plan_for
from app.service.log_book import LogBook
from app.service.services import Services
from app.shared import paths
from app.shared.engine import SettingValue
from app.shared.errors import Conflict, PultError, StorageFailed
from app.shared.events import Event

if TYPE_CHECKING:
    from app.service.models import ModelLibrary


FIRST_LOAD_SECONDS = 1.0


@dataclass
class ServeOptions:
    """How to serve. `engine` is "llama" or "fake[:tokens per second]"; `values` are settings over the preset's."""

    port: int = 0
    listen: str = "127.0.0.1"
    token_file: Path | None = None
    model: str | None = None
    preset: str | None = None
    values: dict[str, SettingValue] = field(default_factory=dict)
    engine: str = "llama"
    with_parent: bool = False
    parent_pid: int | None = None


def run(options: ServeOptions) -> int:
    """Serve until told to stop; print `ready http://HOST:PORT` once requests are answered.

    Returns the exit status. Raises `PultError` when it cannot start: port taken, unreadable token file, full disk.
    """
    listening = _listen(options.listen, options.port)
    port = int(listening.getsockname()[1])
    shown = "127.0.0.1" if options.listen in ("", "0.0.0.0", "localhost") else options.listen
    address = f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
    token = _token(options.token_file)
    with running_services(
        engine=options.engine, address=address, token=token, hosts=host_names(options.listen, port)
    ) as services:
        _quiet_libraries(services.log)
        if options.listen not in LOOPBACK:
            warning = (
                f"Listening on {options.listen}: every computer that reaches this one can try the token,"
                " and what is said travels unencrypted. Use it in a network you trust."
            )
            services.log.add("warning", "service", warning)
            print(f"pult: {warning}", file=sys.stderr, flush=True)  # noqa: T201 - for the person at the terminal
        server = _Server(
            uvicorn.Config(
                create_app(services),
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=3,
                timeout_keep_alive=30,
            ),
            started=lambda: _announce(services, options),
            stopping=lambda: _stopping(services),
        )
        if options.with_parent:
            threading.Thread(target=_watch_parent, args=(server,), name="parent", daemon=True).start()
        try:
            server.run(sockets=[listening])
        finally:
            _forget_address()
            listening.close()
    return 0


@contextlib.contextmanager
def running_services(
    *, engine: str, address: str, token: str, hosts: tuple[str, ...] = ()
) -> Iterator[Services]:
    """Build every part in order, and close them in the opposite one."""
    from app.service.chats.store import ChatStore
    from app.service.forecast.desk import ForecastDesk
    from app.service.models import ModelLibrary
    from app.service.preferences import Preferences
    from app.service.presets import PresetStore
    from app.service.telemetry.sampler import Sampler

    hub = EventHub()
    log = LogBook(_log_folder(), publish=hub.publish)
    log.catch_uncaught()
    chats = ChatStore(paths.chats_db(), publish=hub.publish)

    def publish(event: Event) -> None:
        hub.publish(event)
        forecasts.heard(event)

    desk = EngineDesk(
        local=lambda: _local_engine(engine, log, desk),
        remote=lambda: _remote_engine(),
        publish=publish,
        add_marker=lambda kind, label: telemetry.add_marker(kind, label),
        opened=lambda path: _remember(models, path, log),
        reads_files=not engine.startswith("fake"),
    )
    preferences = Preferences()
    forecasts = ForecastDesk(
        state=desk.state,
        records=paths.data_dir() / "forecasts.json",
        log=lambda level, text: log.add(level, "forecast", text),
    )
    telemetry = Sampler(
        publish=hub.publish,
        engine_pid=lambda: desk.pid,
        engine_sample=desk.sample,
        folder=paths.data_dir() / "telemetry",
        hertz=preferences.get("telemetry_hertz"),
    )
    models = ModelLibrary(publish=hub.publish)
    answers = Answers(chats=chats, engine=desk, hub=hub, telemetry=telemetry, log=log)
    services = Services(
        engine=desk,
        hub=hub,
        chats=chats,
        answers=answers,
        presets=PresetStore(publish=hub.publish),
        models=models,
        telemetry=telemetry,
        log=log,
        preferences=preferences,
        address=address,
        token=token,
        hosts=hosts,
        forecasts=forecasts,
    )
    if other_service() is None:
        chats.mark_cut_off()
    telemetry.start()
    try:
        yield services
    finally:
        answers.close()
        desk.close()
        forecasts.close()
        telemetry.stop()
        models.close()
        chats.close()
        log.close()


def other_service() -> int | None:
    """Return the pid of another living service of this user and these directories, if its record is true."""
    try:
        record = json.loads(paths.service_file().read_text(encoding="utf-8"))
        pid, started = int(record["pid"]), float(record["process_started"])
        if pid == os.getpid():
            return None
        return pid if abs(psutil.Process(pid).create_time() - started) < 2.0 else None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None


class _Server(uvicorn.Server):
    """uvicorn, with a word when it is up and a hand for the streams when it goes down."""

    def __init__(
        self, config: uvicorn.Config, *, started: Callable[[], None], stopping: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._when_started, self._when_stopping = started, stopping

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """End in order on Ctrl+C and on being terminated. uvicorn would raise the signal again and cut our own end short."""
        names = ("SIGINT", "SIGTERM", "SIGBREAK")
        kinds = [getattr(signal, name) for name in names if hasattr(signal, name)]
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {kind: signal.signal(kind, self.handle_exit) for kind in kinds}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._when_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._when_stopping()
        await super().shutdown(sockets)


def _announce(services: Services, options: ServeOptions) -> None:
    if options.model:
        first = threading.Thread(target=_first_load, args=(services, options), name="first load", daemon=True)
        first.start()
        first.join(FIRST_LOAD_SECONDS)  # so that who waits for us finds it loading, unless the disk is slow
    if other_service() is None:
        record = {
            "address": services.address,
            "pid": os.getpid(),
            "token": services.token,
            "version": __version__,
            "process_started": psutil.Process().create_time(),
            "with_parent": options.with_parent,
        }
        try:
            write_private(paths.service_file(), json.dumps(record))
        except OSError as error:
            services.log.problem(
                StorageFailed(
                    "The service's address cannot be written to {path}: {reason}. Windows will start their own service.",
                    path=str(paths.service_file()),
                    reason=error.strerror or type(error).__name__,
                )
            )
    print(f"ready {services.address}", flush=True)  # noqa: T201 - the line that callers wait for
    if options.with_parent:
        # service.json may belong to another service that lives already; the parent's pipe is private.
        print(f"token {services.token}", flush=True)  # noqa: T201 - for the parent alone
    services.log.add("info", "service", f"Pult {__version__} serves {services.address}, pid {os.getpid()}.")


def _first_load(services: Services, options: ServeOptions) -> None:
    try:
        services.engine.load(
            plan_for(services, model=options.model, preset=options.preset, values=dict(options.values))
        )
    except PultError as error:
        services.engine.refused(error)
        services.log.problem(error)
        print(f"pult: {error.sentence}", file=sys.stderr, flush=True)  # noqa: T201 - for the person at the terminal


def _stopping(services: Services) -> None:
    services.log.add("info", "service", "The service is stopping.")
    services.hub.close()
    services.engine.cancel()


def _watch_parent(server: uvicorn.Server) -> None:
    # The descriptor itself: a thread waiting inside sys.stdin would hold its lock when the interpreter ends.
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass  # nothing is expected here; the end of the stream is the message
    server.should_exit = True
    time.sleep(15)
    os._exit(1)  # it did not stop in time, and nobody is left to see why


def _forget_address() -> None:
    try:
        record = json.loads(paths.service_file().read_text(encoding="utf-8"))
        if record.get("pid") == os.getpid():
            paths.service_file().unlink()
    except (OSError, ValueError):
        return  # gone already, or another's half-written file


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise Conflict("Port {port} does not exist. Use 1 to 65535, or 0 for any free one.", port=str(port))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's waiting off only on sockets that say they are TCP; without it every answer takes 44 ms more.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise Conflict(
            "The service cannot listen on {host} port {port}: {reason}. Choose another port, or 0 for any free one.",
            host=host,
            port=str(port),
            reason=error.strerror or str(error),
        ) from error
    return listening


def _token(file: Path | None) -> str:
    """Return the token kept in `file`, or a fresh one, which is written there."""
    if file is None:
        return new_token()
    try:
        kept = file.read_text(encoding="utf-8").strip() if file.exists() else ""
        if kept and (len(kept) < 16 or not kept.isascii() or not kept.isprintable() or " " in kept):
            raise Conflict(
                "The token in {path} is not fit for use: it takes 16 or more printable characters without spaces."
                " Empty the file to get a fresh one.",
                path=str(file),
            )
        token = kept or new_token()
        if kept:
            if os.name == "posix":
                file.chmod(0o600)
        else:
            write_private(file, token + "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageFailed(
            "The token file {path} cannot be used: {reason}. Name another with --token-file.",
            path=str(file),
            reason=getattr(error, "strerror", None) or "it is not text",
        ) from error
    return token


def _local_engine(word: str, log: LogBook, desk: EngineDesk) -> Engine:
    from app.service.engine.supervisor import SupervisedEngine

    return SupervisedEngine(word, log=log.add, died=lambda error: _died_idle(error, log, desk))


def _died_idle(error: PultError, log: LogBook, desk: EngineDesk) -> None:
    log.problem(error)
    desk.engine_died(error)


def _remote_engine() -> Engine:
    from app.service.engine.remote import RemoteEngine

    return RemoteEngine()


def _remember(models: ModelLibrary, path: str, log: LogBook) -> None:
    """Put a loaded file on the list of those opened; a full disk costs the list, not the load."""
    try:
        models.opened(path)
    except StorageFailed as error:
        log.problem(error)


def _log_folder() -> Path | None:
    try:
        return paths.log_dir()
    except OSError:
        return None  # a read-only home: the log stays in memory


def _quiet_libraries(log: LogBook) -> None:
    """Send the libraries' warnings into the log book instead of the terminal."""
    root = logging.getLogger()
    root.handlers = [log.handler()]
    root.setLevel(logging.WARNING)
