"""The dry run against the real thing: the same model loaded, and llama.cpp's own account of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.forecast.arithmetic import arithmetic_layout, read_weights
from app.service.engine.base import StopFlag
from app.service.engine.llama import breakdown
from app.service.engine.llama.dry_run import DryRun
from app.service.engine.llama.engine import LlamaEngine
from app.shared.engine import LoadPlan, SettingValue
from app.shared.errors import BadValue, ModelFileMissing, ModelUnreadable
from tests import models_for_tests as models

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not breakdown.available(), reason="this llama.cpp does not show its layout"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "moe": models.tiny_moe(folder / "moe.gguf"),
        "dense": models.tiny_dense(folder / "dense.gguf", context=65536),
        "hybrid": models.tiny_hybrid(folder / "hybrid.gguf"),
    }


@pytest.fixture
def dry() -> Iterator[DryRun]:
    made = DryRun()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("moe", {"context": 512}),
        ("moe", {"context": 4096, "kv_k": "q8_0", "kv_v": "q8_0", "experts": 5}),
        ("moe", {"context": 2048, "ubatch": 64, "mmap": False}),
        ("moe", {"context": 1024, "moe_cpu_layers": 1}),
        ("dense", {"context": 8192, "flash_attention": "off"}),
        ("dense", {"context": 16384, "kv_k": "q4_0", "kv_v": "f32"}),
        ("dense", {"context": 65536, "rope_scaling": "yarn", "yarn_factor": 2.0}),
        ("hybrid", {"context": 4096, "kv_v": "q8_0"}),
    ],
)
def test_the_layout_is_that_of_the_loaded_model(
    files: dict[str, Path], dry: DryRun, name: str, values: dict[str, SettingValue]
) -> None:
    layout = dry.layout(files[name], values)
    engine = LlamaEngine(lambda level, source, text: None)
    try:
        engine.load(
            LoadPlan(model_path=str(files[name]), values=values),
            progress=lambda fraction: None,
            stop=StopFlag(),
        )
        assert engine._context is not None and engine._context.pointer is not None
        real = breakdown.read(engine._context.pointer)
        size = engine._context.size
    finally:
        engine.close()
    ram = layout.devices[-1]
    assert layout.exact and layout.context == size
    assert ram.kv_bytes == sum(buffer.cache for buffer in real)
    assert ram.compute_bytes == sum(buffer.compute for buffer in real)
    assert ram.weights_bytes == sum(buffer.weights for buffer in real)


@pytest.mark.parametrize("name", ["moe", "dense", "hybrid"])
@pytest.mark.parametrize("kind", ["f16", "q8_0", "q5_1", "q4_0"])
def test_arithmetic_agrees_with_the_dry_run(
    files: dict[str, Path], dry: DryRun, name: str, kind: str
) -> None:
    """Weights to alignment, caches to the byte; scratch is an estimate, of which a hybrid's is the roughest."""
    values: dict[str, SettingValue] = {"context": 8192, "kv_k": kind, "kv_v": kind}
    exact = dry.layout(files[name], values).devices[-1]
    told = arithmetic_layout(read_weights(files[name]), values).devices[-1]
    assert told.kv_bytes == exact.kv_bytes
    assert told.weights_bytes == pytest.approx(exact.weights_bytes, rel=0.001)
    assert told.compute_bytes == pytest.approx(exact.compute_bytes, rel=0.12)
    assert told.output_bytes == exact.output_bytes and told.vocabulary_bytes == exact.vocabulary_bytes


def test_a_slider_move_takes_a_few_milliseconds(files: dict[str, Path], dry: DryRun) -> None:
    dry.layout(files["moe"], {"context": 512})
    took = []
    for step in range(20):
        began = time.perf_counter()
        dry.layout(files["moe"], {"context": 1024 + 256 * step, "kv_k": "q8_0"})
        took.append(time.perf_counter() - began)
    assert sorted(took)[10] < 0.05


def test_files_stay_open_for_their_load_settings_alone(files: dict[str, Path], dry: DryRun) -> None:
    for context in (512, 1024, 2048):
        dry.layout(files["moe"], {"context": context, "mmap": context > 512})
    assert len(dry._open) == 1
    for experts in range(1, 8):
        dry.layout(files["moe"], {"context": 512, "experts": experts})
    assert len(dry._open) == 3
    dry.close()
    assert not dry._open


def test_a_changed_file_is_read_again(tmp_path: Path, dry: DryRun) -> None:
    path = models.tiny_dense(tmp_path / "m.gguf", layers=2)
    two = dry.layout(path, {"context": 512}).devices[-1]
    models.tiny_dense(path, layers=4)
    four = dry.layout(path, {"context": 512}).devices[-1]
    assert four.kv_bytes == 2 * two.kv_bytes and four.weights_bytes > two.weights_bytes


@pytest.mark.parametrize(
    "values",
    [
        {"experts": 9},
        {"experts": 0},
        {"kv_k": "q9"},
        {"flash_attention": "off", "kv_v": "q8_0"},
        {"context": 0},
        {"threads": 4096},
        {"rope_scaling": "bogus"},
    ],
)
def test_values_that_would_abort_are_refused_in_words(
    files: dict[str, Path], dry: DryRun, values: dict[str, SettingValue]
) -> None:
    with pytest.raises(BadValue):
        dry.layout(files["moe"], values)
    assert dry.layout(files["moe"], {"context": 512}).exact


def test_what_cannot_be_laid_out_is_said(files: dict[str, Path], dry: DryRun, tmp_path: Path) -> None:
    with pytest.raises(ModelFileMissing):
        dry.layout(tmp_path / "gone.gguf", {})
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"<html>")
    with pytest.raises(ModelUnreadable):
        dry.layout(broken, {})
