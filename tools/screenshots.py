"""Pictures of every page for the documents, made from the real program: its own service, a real model, real answers.

Opens on the built-in guide, or, in a checkout without it, on a tiny random model written for the purpose; what that one says
is noise, so its chats are answered by the scripted engine instead. Writes PAGE-THEME-LANGUAGE-WIDTH.png.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PySide6.QtGui import QImage

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

SIZES = {1280: (1280, 800), 1920: (1920, 1080)}
PAGES = ("chat", "presets", "monitor", "log", "settings")
LIMIT_BYTES = 4_000_000
QUESTIONS = {
    "guide": (
        "What do experts per token change?",
        "How much memory does the context take?",
        "What is a preset?",
    ),
    "fake": (
        "Show me a table, code and a list. fake:markdown",
        "What does the KV cache cost at 32k?",
        "Why do experts not split the work by topic?",
    ),
}


# A conversation as a large model writes it: the guide is too small for tables and code. Taken in by the import that
# anybody can use; the figures are arithmetic on the shape that the question names.
WRITTEN = """# KV cache of the 30B-A3B

<!-- pult:user -->
## User

How much memory does the KV cache of Qwen3-30B-A3B take at 8k, 32k and 128k? Give me a function that I can reuse.

<!-- pult:assistant -->
## Assistant

It grows linearly with the context. This model has 48 attention layers with 4 KV heads of 128 values, so at f16 one \
token takes **96 KiB**.

```python
def kv_bytes(n_ctx, layers=48, kv_heads=4, head_dim=128, bytes_per_value=2):
    \"\"\"KV cache of a dense-attention model, in bytes: K and V of every layer.\"\"\"
    n_ctx = -(-n_ctx // 256) * 256  # llama.cpp pads to 256
    return round(n_ctx * layers * kv_heads * head_dim * 2 * bytes_per_value)
```

| Context | f16 | q8_0 | q4_0 |
|--------:|----:|-----:|-----:|
| 8,192 | 768 MiB | 408 MiB | 216 MiB |
| 32,768 | 3.00 GiB | 1.59 GiB | 0.84 GiB |
| 131,072 | 12.0 GiB | 6.38 GiB | 3.38 GiB |

Quantising V needs flash attention. Changing the number of experts does not change any of these numbers.

<!-- pult:thought -->
### Thought

K and V: 48 layers, 4 KV heads of 128 values, 2 bytes each. 48 * 4 * 128 * 2 * 2 = 98,304 bytes a token.
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots")
    parser.add_argument("--pages", nargs="*", default=list(PAGES))
    parser.add_argument("--history", type=float, default=50.0, help="seconds of history before the pictures")
    parser.add_argument("--quick", action="store_true", help="dark, English, 1280 only")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pult-screenshots-") as folder:
        # A plain name, because the Settings page shows it.
        os.environ["PULT_DATA"] = str(Path(folder) / "pult")
        return take_all(arguments, Path(folder))


def take_all(arguments: argparse.Namespace, folder: Path) -> int:
    from app.shared.paths import guide_model
    from app.ui.main import WindowOptions, application, open_window
    from app.ui.shell.taste import choose_language, choose_theme
    from app.ui.window_memory import WindowMemory

    guide = guide_model()
    guided = guide.is_file()
    engine = "llama" if guided else "fake:60"
    model = guide if guided else tiny_model(folder)
    memory = WindowMemory()
    memory.put("start_with", "nothing")
    memory.put("reduce_motion", True)
    memory.save()
    app = application()
    window = open_window(app, None, WindowOptions(engine=engine, language="en", theme="dark"))
    taken: list[Path] = []

    def wait(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            app.processEvents()
            time.sleep(0.005)

    def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"waited {seconds:.0f} s for {what}")
            wait(0.02)

    def shot(name: str) -> None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        file = arguments.out / f"{name}.png"
        if not with_palette(window.grab().toImage()).save(str(file), "PNG", 0):
            raise OSError(f"{file} could not be written")
        taken.append(file)
        print(f"{file.name} {file.stat().st_size / 1000:,.0f} kB", flush=True)

    try:
        window.resize(*SIZES[1280])
        until(lambda: window.state.connected and window.pages.current_id is not None, 30, "the service")
        wait(1.0)
        shot("first-run-dark-en-1280")
        with_chats(window, str(model), QUESTIONS["guide" if guided else "fake"], until, wait)
        window.show_page("chat")
        wait(arguments.history)
        themes = ("dark",) if arguments.quick else ("dark", "light")
        languages = ("en",) if arguments.quick else ("en", "ru")
        sizes = (1280,) if arguments.quick else tuple(SIZES)
        for language in languages:
            choose_language(memory, language)
            wait(0.5)
            for theme in themes:
                choose_theme(memory, theme)
                for width in sizes:
                    window.resize(*SIZES[width])
                    for page in arguments.pages:
                        window.show_page(page)
                        settle(window, page, wait)
                        shot(f"{page}-{theme}-{language}-{width}")
        choose_language(memory, "en")
        wait(0.5)
        choose_theme(memory, "dark")
        window.resize(*SIZES[1280])
        overlays(window, folder, until, wait, shot)
    finally:
        window.close()
        window.shut_down()
    total = sum(file.stat().st_size for file in taken)
    print(f"{len(taken)} pictures, {total / 1e6:.2f} MB")
    if total > LIMIT_BYTES:
        print(f"screenshots: {total} bytes are over the limit of {LIMIT_BYTES}", file=sys.stderr)
        return 1
    return 0


def with_palette(image: QImage) -> QImage:
    """Return the picture in the 256 colours that it misses least: half the file's size."""
    import numpy as np
    from PySide6.QtGui import QImage

    plain = image.convertToFormat(QImage.Format.Format_RGB32)
    width, height = plain.width(), plain.height()
    pixels = np.frombuffer(plain.constBits(), np.uint32).reshape(height, plain.bytesPerLine() // 4)[:, :width]
    colours, places, counts = np.unique(pixels, return_inverse=True, return_counts=True)
    parts = (colours[:, None] >> np.array([16, 8, 0], np.uint32) & 255).astype(np.int32)
    order = np.argsort(counts)[::-1][:96]
    distance = ((parts[:, None, :] - parts[None, order, :]) ** 2).sum(axis=2)
    nearest, least = distance.argmin(axis=1), distance.min(axis=1)
    kept = [int(place) for place in order]
    while len(kept) < 256 and least.any():
        # The colour that is missed most: far from all kept ones, and not only in a pixel or two.
        missed = int((least * np.sqrt(counts)).argmax())
        further = ((parts - parts[missed]) ** 2).sum(axis=1)
        closer = further < least
        nearest[closer], least = len(kept), np.minimum(least, further)
        kept.append(missed)
    indexed = np.ascontiguousarray(nearest.astype(np.uint8)[places.reshape(height, width)])
    result = QImage(indexed.tobytes(), width, height, width, QImage.Format.Format_Indexed8)
    result.setColorTable([int(colours[place]) | 0xFF000000 for place in kept])
    return result.copy()


def tiny_model(folder: Path) -> Path:
    """Write the tests' tiny mixture of experts."""
    from tests.models_for_tests import tiny_moe

    return tiny_moe(folder / "tiny-moe.gguf")


def with_chats(window, model, questions, until, wait) -> None:  # type: ignore[no-untyped-def]
    """Load the model and hold a few conversations, the first question last so that its chat stands on top."""
    window.loading.load(model)
    until(lambda: window.state.model is not None and window.state.engine.status == "ready", 60, "the model")
    window.context.operations.run(window, lambda client: client.set_telemetry_rate(5.0))
    chats: list[str] = []
    for question in reversed(questions):

        def ask(client, question=question):  # type: ignore[no-untyped-def]
            chat = client.create_chat()
            client.send(chat.id, question)
            return chat.id

        before = len(chats)
        window.context.operations.run(window, ask, done=chats.append)
        until(lambda before=before: len(chats) > before, 20, "the chat")
        wait(0.5)
        until(lambda: window.state.engine.status == "ready", 120, "the answer")
        wait(0.5)
    taken: list[str] = []
    window.context.operations.run(
        window,
        lambda client: client.import_chats(WRITTEN, format="markdown")[0].id,
        done=taken.append,
    )
    until(lambda: bool(taken), 20, "the written conversation")
    window.context.operations.run(window, lambda client: client.change_chat(taken[0], pinned=True))
    window.reveal("chat", "chat", taken[0])
    wait(1.0)


def settle(window, page, wait) -> None:  # type: ignore[no-untyped-def]
    """Let a page lay itself out and fetch what it shows; the Monitor looks at the last minute."""
    wait(0.4)
    if page == "monitor":
        ranges = getattr(window.pages.current_page, "_ranges", None)
        if ranges is not None and ranges.current() != "60":
            ranges.button("60").click()
        wait(1.2)
    if page == "presets":
        wait(0.4)


def overlays(window, folder, until, wait, shot) -> None:  # type: ignore[no-untyped-def]
    """Picker, palette, shortcuts and an error with its remedies, over the chat page."""
    window.show_page("chat")
    wait(0.5)
    window.choose_model()
    wait(0.6)
    shot("model-picker-dark-en-1280")
    window.open_palette()
    overlay = window.overlay()
    overlay.field.setText("context")
    wait(0.6)
    shot("palette-dark-en-1280")
    window.open_shortcuts()
    wait(0.3)
    shot("shortcuts-dark-en-1280")
    window.dismiss_overlay()
    bad = folder / "refuse-half-downloaded.gguf"
    whole = Path(window.state.model.path).read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    window.loading.load(str(bad))
    until(lambda: bool(window.notices.banners()), 30, "the error")
    wait(0.5)
    shot("error-dark-en-1280")


if __name__ == "__main__":
    sys.exit(main())
