"""Pult's streamed tokens per second against a bare llama_decode loop and llama-server, alternating in one
run.

python benchmarks/decode.py [--model F] [--tokens 256] [--rounds 5] [--llama-server BINARY] [--window]
[--json]

Every contender answers the same prompt with the same sampling (top-k 20, top-p 0.95, temperature 0.6), one
after the other, round after round, each in processes of its own that stay loaded. Measured from outside: for
servers from sending the request to the last streamed token, for the bare loop from the prompt's first token
to the last one drawn; so Pult pays for HTTP, JSON, its template, its pipe and its telemetry, and the bare
loop for nothing. Every round begins with words of its own, so that no cache shortens it. The ratio is the
median of the rounds' ratios.

Without --model a random Qwen3-MoE of 450 MB with Qwen's vocabulary is written to a temporary folder. --window
also opens Pult's window on the service, offscreen, with its charts running; --listener, for machines without
Qt, attaches a process that reads and parses the same stream of events.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import httpx

ROOT = Path(__file__).resolve().parents[1]
SAMPLING = {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0.0}
CHATML = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


class Contender(Protocol):
    """Something that writes tokens; `run` returns how many and in how many seconds."""

    name: str

    def run(self, prompt: str, tokens: int, seed: int) -> tuple[int, float]: ...


class Bare:
    """The bare loop in a child process."""

    def __init__(self, name: str, options: argparse.Namespace, *, backend: bool) -> None:
        self.name = name
        command = [sys.executable, str(ROOT / "benchmarks" / "bare_loop.py"), "--model", str(options.model)]
        command += ["--context", str(options.context), "--threads", str(options.threads)]
        command += ["--gpu-layers", str(options.gpu_layers), *(["--backend"] if backend else [])]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdin and self.process.stdout
        if self.process.stdout.readline().strip() != "ready":
            raise SystemExit("the bare loop did not start")

    def run(self, prompt: str, tokens: int, seed: int) -> tuple[int, float]:
        """Ask the child for one answer."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(
            json.dumps({"prompt": CHATML.format(prompt), "tokens": tokens, "seed": seed}) + "\n"
        )
        self.process.stdin.flush()
        told = json.loads(self.process.stdout.readline())
        return int(told["tokens"]), float(told["seconds"])


class Server:
    """An OpenAI-style server, streamed from."""

    def __init__(
        self, name: str, url: str, *, model: str, headers: dict[str, str], extra: dict[str, Any]
    ) -> None:
        self.name = name
        self.model = model
        self.extra = extra
        self.client = httpx.Client(base_url=url, headers=headers, timeout=600)

    def run(self, prompt: str, tokens: int, seed: int) -> tuple[int, float]:
        """Stream one answer and time it to its last piece of text."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": tokens,
            "seed": seed,
            "stream": True,
            "stream_options": {"include_usage": True},
            **SAMPLING,
            **self.extra,
        }
        count, began = 0, time.perf_counter()
        last = began
        with self.client.stream("POST", "/v1/chat/completions", json=body) as response:
            if response.status_code != 200:
                raise SystemExit(
                    f"{self.name}: HTTP {response.status_code}: {response.read().decode()[:500]}"
                )
            for line in response.iter_lines():
                if not line.startswith("data: ") or line == "data: [DONE]":
                    continue
                event = json.loads(line[6:])
                if event.get("choices") and event["choices"][0].get("delta"):
                    last = time.perf_counter()
                if event.get("usage"):
                    count = int(event["usage"]["completion_tokens"])
        return count, last - began


@contextlib.contextmanager
def pult(options: argparse.Namespace, folder: Path) -> Iterator[Server]:
    """A `pult serve` of its own with telemetry on, the model loaded, and the window attached if asked."""
    token_file = folder / "token"
    command = [
        sys.executable,
        "-m",
        "app",
        "--data",
        str(folder / "data"),
        "serve",
        "--token-file",
        str(token_file),
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "PULT_DATA": str(folder / "data"),
    }
    service = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    window: subprocess.Popen[bytes] | None = None
    try:
        assert service.stdout
        ready = service.stdout.readline().split()
        if len(ready) != 2 or ready[0] != "ready":
            raise SystemExit(f"pult serve did not start: {' '.join(ready)}")
        headers = {"Authorization": f"Bearer {token_file.read_text().strip()}"}
        values: dict[str, Any] = {"context": options.context, "threads": options.threads, "thinking": False}
        if options.gpu_layers >= 0:
            values["gpu_layers"] = options.gpu_layers
        loaded = httpx.post(
            f"{ready[1]}/api/engine/load",
            params={"wait": "true"},
            headers=headers,
            json={"model": str(options.model), "values": values},
            timeout=600,
        ).json()
        if not loaded.get("model"):
            raise SystemExit(f"Pult could not load the model: {loaded}")
        if options.window:
            offscreen = {**environment, "QT_QPA_PLATFORM": "offscreen"}
            window = subprocess.Popen([sys.executable, "-m", "app"], cwd=ROOT, env=offscreen)
            time.sleep(4)
        elif options.listener:
            listen = "import sys, threading\nfrom app.client.service_client import ServiceClient\n"
            listen += "for _ in ServiceClient(*sys.argv[1:]).events(threading.Event()): pass"
            token = token_file.read_text().strip()
            window = subprocess.Popen(
                [sys.executable, "-c", listen, ready[1], token], cwd=ROOT, env=environment
            )
            time.sleep(2)
        yield Server("pult", ready[1], model=loaded["model"]["id"], headers=headers, extra={})
    finally:
        for process in (window, service):
            if process is not None:
                process.terminate()
                process.wait(30)


@contextlib.contextmanager
def llama_server(options: argparse.Namespace) -> Iterator[Server]:
    """llama.cpp's own server with the same context, threads and layers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        options.llama_server,
        "-m",
        str(options.model),
        "-c",
        str(options.context),
        "-t",
        str(options.threads),
    ]
    command += ["-ngl", str(options.gpu_layers if options.gpu_layers >= 0 else 999), "-np", "1", "--no-webui"]
    command += ["--port", str(port), "--jinja"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                    break
            if process.poll() is not None:
                raise SystemExit(f"llama-server ended with {process.returncode}")
            time.sleep(0.2)
        yield Server(
            "llama-server", url, model="any", headers={}, extra={"cache_prompt": False, "ignore_eos": True}
        )
    finally:
        process.terminate()
        process.wait(30)


def measure(contenders: list[Contender], *, tokens: int, rounds: int) -> dict[str, list[float]]:
    """Run all of them in turn; the first round warms up and is not counted. Returns tokens per second."""
    speeds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for turn in range(rounds + 1):
        # The order rotates, so that none always runs on what another left behind.
        for contender in contenders[turn % len(contenders) :] + contenders[: turn % len(contenders)]:
            prompt = f"{turn} {contender.name}: write about the sea, the hills and the cities between them."
            count, seconds = contender.run(prompt, tokens, seed=turn)
            if turn:
                speeds[contender.name].append(count / seconds)
    return speeds


def summary(speeds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Medians, and Pult's median ratio to each of the others, round by round."""
    ours = speeds["pult"]
    return {
        name: {
            "tokens_per_second": round(statistics.median(found), 2),
            "lowest": round(min(found), 2),
            "highest": round(max(found), 2),
            "pult_ratio": round(statistics.median(a / b for a, b in zip(ours, found, strict=True)), 4),
        }
        for name, found in speeds.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="GGUF file; without it a random one is made")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=0, help="default: physical cores")
    parser.add_argument("--gpu-layers", type=int, default=-1)
    parser.add_argument("--gpu", action="store_true", help="also measure the bare loop with graph sampling")
    parser.add_argument("--llama-server", metavar="BINARY")
    parser.add_argument("--window", action="store_true")
    parser.add_argument(
        "--listener", action="store_true", help="where Qt is missing: read /events as the window does"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.threads:
        import psutil

        options.threads = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        if options.model is None:
            from shape_model import write_shape_model

            options.model = write_shape_model(folder / "shape.gguf")
        contenders: list[Contender] = [Bare("bare", options, backend=False)]
        if options.gpu:
            contenders.append(Bare("bare, graph sampling", options, backend=True))
        contenders.append(stack.enter_context(pult(options, folder)))
        if options.llama_server:
            contenders.append(stack.enter_context(llama_server(options)))
        speeds = measure(contenders, tokens=options.tokens, rounds=options.rounds)
        for contender in contenders:
            if isinstance(contender, Bare):
                contender.process.kill()
                contender.process.wait(10)
    found = summary(speeds)
    if options.json:
        print(
            json.dumps(
                {"model": options.model.name, "tokens": options.tokens, "results": found, "all": speeds}
            )
        )
        return
    print(
        f"{options.model.name}, {options.tokens} tokens, {options.rounds} rounds, {options.threads} threads"
    )
    print(f"{'':24}{'tokens/s':>10}{'lowest':>10}{'highest':>10}{'pult ÷ it':>12}")
    for name, row in found.items():
        print(
            f"{name:24}{row['tokens_per_second']:>10.1f}{row['lowest']:>10.1f}{row['highest']:>10.1f}"
            f"{row['pult_ratio']:>12.3f}"
        )


if __name__ == "__main__":
    main()
