"""Open Pult on a real X server as a person would, and look at what is on the screen.

Starts Xvfb, `python -m app` on it with an empty data directory, waits until the service is up and the model (the built-in
guide, if this checkout has it) is loaded, reads the screen, closes the window and checks that no process is left.
Writes the picture to --out. Exits 1 with one sentence when something is not as it must be.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=None, help="where to put the screenshot (PNG)")
    parser.add_argument("--size", default="1280x800")
    parser.add_argument("--deadline", type=float, default=60.0, help="seconds until the model must be loaded")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pult-smoke-") as folder:
        return run(Path(folder), arguments)


def run(folder: Path, arguments: argparse.Namespace) -> int:
    read_end, write_end = os.pipe()
    server = subprocess.Popen(
        [
            "Xvfb",
            "-displayfd",
            str(write_end),
            "-screen",
            "0",
            f"{arguments.size}x24",
            "-fbdir",
            str(folder),
            "-nolisten",
            "tcp",
        ],
        pass_fds=[write_end],
        stderr=subprocess.DEVNULL,
    )
    os.close(write_end)
    window: subprocess.Popen[bytes] | None = None
    try:
        with os.fdopen(read_end) as numbers:
            display = numbers.readline().strip()
        data = folder / "data"
        environment = {
            **os.environ,
            "DISPLAY": f":{display}",
            "PULT_DATA": str(data),
            "QT_QPA_PLATFORM": "xcb",
        }
        environment.pop("WAYLAND_DISPLAY", None)
        started = time.monotonic()
        window = subprocess.Popen([sys.executable, "-m", "app"], cwd=ROOT, env=environment)
        painted = wait_for(lambda: colours(folder) > 40, arguments.deadline, window)
        if painted is None:
            return fail("the window painted nothing")
        print(f"painted after {painted - started:.2f} s")
        state = wait_for(lambda: engine_state(data), arguments.deadline, window)
        if state is None:
            return fail("the service did not come up")
        if (ROOT / "resources" / "guide" / "guide.gguf").is_file():
            ready = wait_for(lambda: engine_state(data) == "ready", arguments.deadline, window)
            if ready is None:
                return fail(f"the guide is not loaded; the engine says {engine_state(data)!r}")
            print(f"guide loaded after {ready - started:.2f} s")
        time.sleep(1.5)
        service_pid = service_record(data)["pid"]
        if arguments.out is not None:
            save_picture(folder, arguments.out)
            print(f"wrote {arguments.out}")
        window.send_signal(signal.SIGTERM)
        try:
            code = window.wait(20)
        except subprocess.TimeoutExpired:
            return fail("the window did not close within 20 s of being asked to")
        if code not in (0, -signal.SIGTERM):
            return fail(f"the window ended with code {code}")
        gone = wait_for(lambda: not alive(service_pid), 15, None)
        if gone is None:
            return fail(f"the service (pid {service_pid}) outlived its window")
        print("1 passed, 0 failed")
        return 0
    finally:
        for process in (window, server):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait(10)


def wait_for(condition: Any, seconds: float, process: subprocess.Popen[bytes] | None) -> float | None:
    """Return the moment `condition` became true, None if it did not within `seconds` or the process ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return time.monotonic()
        if process is not None and process.poll() is not None:
            return None
        time.sleep(0.05)
    return None


def service_record(data: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((data / "run" / "service.json").read_text(encoding="utf-8"))
    return record


def engine_state(data: Path) -> str | None:
    try:
        record = service_record(data)
        request = urllib.request.Request(
            record["address"] + "/api/state", headers={"Authorization": f"Bearer {record['token']}"}
        )
        with urllib.request.urlopen(request, timeout=2) as answer:
            return str(json.load(answer)["engine"]["status"])
    except (OSError, ValueError, KeyError):
        return None


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pixels(folder: Path) -> tuple[int, int, int, bytes]:
    """Return width, height, bytes per line and the pixels (BGRX) of the X server's screen, an XWD file."""
    raw = (folder / "Xvfb_screen0").read_bytes()
    header = struct.unpack(">25I", raw[:100])
    header_size, width, height, line, colour_count = header[0], header[4], header[5], header[12], header[19]
    start = header_size + colour_count * 12
    return width, height, line, raw[start : start + line * height]


def colours(folder: Path) -> int:
    try:
        _, _, _, body = pixels(folder)
    except (OSError, struct.error):
        return 0
    return len(set(memoryview(body).cast("I")[::7]))


def save_picture(folder: Path, target: Path) -> None:
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from PySide6.QtGui import QImage

    width, height, line, body = pixels(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    QImage(body, width, height, line, QImage.Format.Format_RGB32).save(str(target))


def fail(sentence: str) -> int:
    print(f"smoke: {sentence}", file=sys.stderr)
    print("0 passed, 1 failed")
    return 1


if __name__ == "__main__":
    sys.exit(main())
