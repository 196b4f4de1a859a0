"""What the window costs: first paint, event-loop stalls while an answer streams, memory, idle CPU.

Everything is the real program: `python -m app` for the first paint; window, service and scripted engine at
300 tokens a second with the Monitor's charts and a chat alive for the rest. Prints a table and one line of
JSON.

- First paint: from starting the process to the end of the main window's first paint event, process start and
imports included; median of --starts cold processes on a warm page cache. - Stall: how late a precise 2 ms
timer on the window's thread fires beyond its due time. A callback that holds the thread for 20 ms delays the
timer by up to 20 ms, so the 99th percentile over all ticks is weighted by ticks; the share of wall time spent
in stalls over 16 ms is told beside it, because ticks that never happened cannot be counted. - RSS: of the
window's process only, at the end of the streaming. Idle CPU: of the window's process, nothing loaded changes,
the Monitor shown, after ten seconds of rest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

FIRST_PAINT = """
import sys, time
from app.ui import main
from app.ui.main_window import MainWindow
seen = []
class Timed(MainWindow):
    def paintEvent(self, event):
        super().paintEvent(event)
        if not seen:
            seen.append(1)
            from PySide6.QtCore import QTimer
            QTimer.singleShot(0, done)
def done():
    print(time.time(), flush=True)
    import os
    os._exit(0)
import app.ui.main_window
app.ui.main_window.MainWindow = Timed
def no_service():
    raise SystemExit
main.run(None, main.WindowOptions(opener=no_service))
"""
TICK_MS = 2
BAR = {
    "first_paint_seconds": 1.0,
    "stall_p99_ms": 16.0,
    "rss_bytes": 250e6,
    "idle_cpu_percent": 2.0,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="length of the streamed answer on each page"
    )
    parser.add_argument("--idle", type=float, default=20.0)
    parser.add_argument("--json", type=Path, help="also write the result here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pult-bench-") as folder:
        os.environ["PULT_DATA"] = folder
        result = {"cpu_count": os.cpu_count(), "tokens_per_second_asked": 300}
        result |= first_paint(arguments.starts)
        result |= streaming(Path(folder), arguments.seconds, arguments.idle)
    show(result)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def first_paint(starts: int) -> dict[str, float]:
    """Return the median and the worst of several cold starts; one more comes first to warm the page cache."""
    seconds = []
    for attempt in range(starts + 1):
        before = time.time()
        done = subprocess.run(
            [sys.executable, "-c", FIRST_PAINT],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        if attempt:
            seconds.append(float(done.stdout.split()[-1]) - before)
    return {"first_paint_seconds": statistics.median(seconds), "first_paint_worst_seconds": max(seconds)}


def streaming(folder: Path, seconds: float, idle_seconds: float) -> dict[str, float | int | None]:
    import psutil
    from PySide6.QtCore import QEventLoop, QTimer

    from app.ui.main import WindowOptions, application, open_window
    from app.ui.window_memory import WindowMemory
    from tests.models_for_tests import tiny_moe

    memory = WindowMemory()
    memory.put("start_with", "nothing")
    memory.save()
    app = application()
    window = open_window(app, None, WindowOptions(engine="fake:300", language="en", theme="dark"))
    window.resize(1280, 800)
    me = psutil.Process()
    result: dict[str, float | int | None] = {}

    def turn(length: float) -> None:
        """Run the event loop as Qt does: asleep until something happens."""
        loop = QEventLoop()
        QTimer.singleShot(round(length * 1000), loop.quit)
        loop.exec()

    def until(condition, limit: float, what: str) -> None:  # type: ignore[no-untyped-def]
        end = time.monotonic() + limit
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"waited {limit:.0f} s for {what}")
            turn(0.05)

    app.setQuitOnLastWindowClosed(False)
    try:
        until(lambda: window.state.connected and window.pages.current_id == "chat", 60, "the service")
        window.loading.load(str(tiny_moe(folder / "tiny-moe.gguf")))
        until(lambda: window.state.model is not None, 30, "the model")
        for page in ("monitor", "presets", "log", "settings", "chat"):
            window.show_page(page)
            turn(0.5)
        stalls: list[float] = []
        for page in ("chat", "monitor"):
            late, tokens = stream_on(window, page, seconds, turn, until)
            stalls += late
            ordered = sorted(late)
            result[f"stall_p50_ms_{page}"] = ordered[len(ordered) // 2]
            result[f"stall_p99_ms_{page}"] = ordered[int(len(ordered) * 0.99)]
            result[f"stall_worst_ms_{page}"] = ordered[-1]
            result[f"stall_over_16_ms_share_{page}"] = sum(x for x in late if x > 16) / (seconds * 1000)
            result[f"tokens_per_second_seen_{page}"] = tokens / seconds
        ordered = sorted(stalls)
        result["stall_p99_ms"] = ordered[int(len(ordered) * 0.99)]
        result["rss_bytes"] = me.memory_info().rss
        until(lambda: window.state.engine is not None and window.state.engine.status == "ready", 60, "rest")
        for page in ("chat", "monitor"):
            window.show_page(page)
            turn(10.0)
            before = sum(me.cpu_times()[:2])
            turn(idle_seconds)
            result[f"idle_cpu_percent_{page}"] = (sum(me.cpu_times()[:2]) - before) / idle_seconds * 100
        result["idle_cpu_percent"] = result["idle_cpu_percent_chat"]
    finally:
        window.close()
        window.shut_down()
    return result


def stream_on(window, page, seconds, turn, until):  # type: ignore[no-untyped-def]
    """Stream one long answer with `page` in front; return how late each tick was, in ms, and the tokens
    that came."""
    from PySide6.QtCore import QObject, Qt, QTimer

    asked: list[str] = []
    count = round(seconds * 300 * 1.5)

    def ask(client):  # type: ignore[no-untyped-def]
        chat = client.create_chat()
        client.send(chat.id, f"fake:tokens={count}")
        return chat.id

    window.show_page("chat")
    window.context.operations.run(window, ask, done=asked.append)
    until(lambda: bool(asked), 20, "the chat")
    window.reveal("chat", "chat", asked[0])
    window.show_page(page)
    until(lambda: window.state.answering, 20, "the answer")
    turn(1.0)
    seen = [0, 0]

    def take(texts):  # type: ignore[no-untyped-def]
        for text in texts:
            seen[0] = seen[0] or text.tokens
            seen[1] = text.tokens

    listener = QObject()
    window.bridge.answerText.connect(take)
    late: list[float] = []
    last = time.perf_counter()

    def tick() -> None:
        nonlocal last
        now = time.perf_counter()
        late.append(max(0.0, (now - last) * 1000 - TICK_MS))
        last = now

    timer = QTimer(listener)
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(tick)
    timer.start(TICK_MS)
    last = time.perf_counter()
    turn(seconds)
    timer.stop()
    window.bridge.answerText.disconnect(take)
    if not window.state.answering:
        raise RuntimeError(f"the answer ended before {seconds:.0f} s were over")
    window.loading.cancel()
    until(lambda: not window.state.answering, 20, "the stop")
    return late, seen[1] - seen[0]


def show(result: dict[str, float | int | None]) -> None:
    """Print the measurements and the bar."""
    for name, value in result.items():
        if value is None:
            words = "not measured"
        elif name.endswith("_bytes"):
            words = f"{value / 1e6:,.0f} MB"
        else:
            words = f"{value:,.3f}" if isinstance(value, float) else str(value)
        bar = BAR.get(name)
        limit = (
            ""
            if bar is None
            else f"  bar < {bar / 1e6:,.0f} MB"
            if name.endswith("_bytes")
            else f"  bar < {bar:g}"
        )
        print(f"{name:<36} {words:>12}{limit}")
    print(json.dumps(result))


if __name__ == "__main__":
    sys.exit(main())
