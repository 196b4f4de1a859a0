"""A model's anatomy is its tensor list added up: checked against the gguf package's own reader and made-up shapes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader
from hypothesis import given, settings
from hypothesis import strategies as st

from app.models.anatomy_parts import Part, layer_of, part_of, recurrent_layers
from app.models.anatomy_tensors import _anatomy, read_anatomy
from app.models.card import ModelCard
from app.models.gguf_header import GgufHeader, TensorInfo
from app.shared import paths
from app.shared.errors import ModelFileMissing, ModelUnreadable
from tests import models_for_tests as models

F16 = 1


def by_hand(path: Path, experts: int | None) -> tuple[int, int]:
    """Parameters and bytes at work on one token, from the arrays that the gguf package maps."""
    parameters = read = 0
    tensors = GGUFReader(path).tensors
    tied = all(tensor.name != "output.weight" for tensor in tensors)
    for tensor in tensors:
        share = 1.0
        if "_exps" in tensor.name:
            share = (experts or 0) / int(tensor.shape[-1])
        parameters += round(int(tensor.n_elements) * share)
        if tensor.name == "token_embd.weight" and not tied:
            share = 1 / int(tensor.shape[-1])
        read += round(int(tensor.n_bytes) * share)
    return parameters, read


@pytest.mark.parametrize("write", [models.tiny_moe, models.tiny_dense, models.tiny_hybrid])
def test_parts_add_up_to_the_file(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path / "model.gguf")
    found, tensors = read_anatomy(path), GGUFReader(path).tensors
    assert sum(part.tensors for part in found.parts) == len(tensors)
    assert found.parameters == sum(int(tensor.n_elements) for tensor in tensors)
    assert found.weight_bytes == sum(int(tensor.n_bytes) for tensor in tensors)
    assert found.weight_bytes == sum(part.size_bytes or 0 for part in found.parts)
    for active in found.active:
        assert (active.parameters, active.read_bytes) == by_hand(path, active.experts)
    assert Part.OTHER not in [part.part for part in found.parts]


def test_a_mixture_of_experts(tmp_path: Path) -> None:
    found = read_anatomy(models.tiny_moe(tmp_path / "m.gguf", experts=6, used=3, layers=3))
    assert (found.layers, found.attention_layers, found.recurrent_layers, found.expert_layers) == (3, 3, 0, 3)
    assert (found.heads, found.kv_heads, found.key_length, found.embedding) == (4, 2, 64, 64)
    assert (found.experts, found.experts_trained, found.expert_width) == (6, 3, 32)
    assert [active.experts for active in found.active] == [1, 2, 3, 4, 5, 6]
    one = 3 * 3 * 32 * 64  # layers × (gate, up, down) × width × hidden size
    steps = [b.parameters - a.parameters for a, b in zip(found.active, found.active[1:], strict=False)]
    assert steps == [one] * 5
    assert found.active[-1].parameters == found.parameters
    experts = next(part for part in found.parts if part.part is Part.EXPERTS)
    assert (experts.parameters, experts.size_bytes) == (6 * one, 2 * 6 * one)
    assert found.at(None).experts == 3 and found.at(99).experts == 6 and found.at(1).experts == 1
    assert not found.hybrid


def test_a_hybrid_tells_its_layers_apart(tmp_path: Path) -> None:
    found = read_anatomy(models.tiny_hybrid(tmp_path / "h.gguf", layers=8))
    assert found.hybrid
    assert (found.layers, found.attention_layers, found.recurrent_layers) == (8, 2, 6)
    parts = {part.part: part for part in found.parts}
    # Every attention layer has a query twice as wide for its gate: q 2·4·64, k and v 2·64, output 4·64 by 64.
    assert parts[Part.ATTENTION].parameters == 2 * (512 + 128 + 128 + 256) * 64
    assert Part.DENSE in parts and Part.EXPERTS not in parts and Part.RECURRENT in parts
    assert found.experts is None and len(found.active) == 1 and found.at(5).experts is None
    assert found.rope_dimensions == 16


def test_the_guide_shares_its_embedding_with_the_output() -> None:
    found = read_anatomy(paths.guide_model())
    assert found.tied_output and found.parameters > 0
    last = found.active[-1]
    assert last.parameters == found.parameters and last.read_bytes == found.weight_bytes


def test_the_shape_of_the_30b_works_as_its_name_says() -> None:
    found = made(
        shape(layers=48, hidden=2048, heads=32, kv_heads=4, head=128, experts=128, width=768, rows=151_936)
    )
    assert round(found.parameters / 1e9, 1) == 30.5
    assert round(found.active[7].parameters / 1e9, 2) == 3.35
    norms = (48 * 2 + 1) * 2048  # of 4 bytes, everything else of 2; of the embedding one row
    assert found.active[7].read_bytes == 2 * (found.active[7].parameters - 151_935 * 2048) + 2 * norms


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("token_embd.weight", Part.EMBEDDING),
        ("token_embd_norm.weight", Part.NORMS),
        ("output.weight", Part.OUTPUT),
        ("output.bias", Part.OUTPUT),
        ("output_norm.weight", Part.NORMS),
        ("blk.3.attn_q.bias", Part.ATTENTION),
        ("blk.3.attn_q_norm.weight", Part.NORMS),
        ("blk.3.attn_gate.weight", Part.ATTENTION),
        ("blk.4.attn_gate.weight", Part.RECURRENT),
        ("blk.4.ssm_a", Part.RECURRENT),
        ("blk.4.ssm_dt.bias", Part.RECURRENT),
        ("blk.4.ssm_norm.weight", Part.NORMS),
        ("blk.3.ffn_gate_inp.weight", Part.ROUTER),
        ("blk.3.exp_probs_b.bias", Part.ROUTER),
        ("blk.3.ffn_gate_inp_shexp.weight", Part.SHARED_EXPERT),
        ("blk.3.ffn_up_shexp.weight", Part.SHARED_EXPERT),
        ("blk.3.ffn_gate_up_exps.weight", Part.EXPERTS),
        ("blk.3.ffn_down_chexps.weight", Part.EXPERTS),
        ("blk.3.ffn_down.weight", Part.DENSE),
        ("blk.9.attn_q.weight", Part.PREDICTION),
        ("blk.3.nextn.eh_proj.weight", Part.PREDICTION),
        ("rope_freqs.weight", Part.OTHER),
    ],
)
def test_each_tensor_has_its_part(name: str, part: Part) -> None:
    assert part_of(name, recurrent=frozenset({4}), layers=9) is part


def test_layers_are_told_by_name() -> None:
    assert layer_of("blk.17.attn_q.weight") == 17 and layer_of("output.weight") is None
    assert recurrent_layers(
        [TensorInfo("blk.2.ssm_a", (2,), 0, 0), TensorInfo("blk.3.attn_q", (2,), 0, 0)]
    ) == {2}


def test_prediction_heads_are_at_rest() -> None:
    tensors = shape(layers=2, hidden=64, heads=2, kv_heads=2, head=32, experts=4, width=32, rows=100)
    extra = [
        TensorInfo("blk.2.attn_q.weight", (64, 64), F16, 0),
        TensorInfo("blk.2.nextn.eh_proj.weight", (128, 64), F16, 0),
    ]
    plain, more = made(tensors), made([*tensors, *extra], blocks=3, heads_after=1)
    assert more.layers == 2
    assert more.parameters == plain.parameters + 64 * 64 + 128 * 64
    assert more.active == plain.active


def test_a_type_that_nobody_knows_has_no_size() -> None:
    tensors = shape(layers=1, hidden=64, heads=2, kv_heads=2, head=32, experts=4, width=32, rows=100)
    found = made([*tensors, TensorInfo("blk.0.attn_gate.weight", (64, 64), 4711, 0)])
    assert found.weight_bytes is None and found.active[0].read_bytes is None
    assert found.active[0].parameters > 0
    assert next(part for part in found.parts if part.part is Part.ATTENTION).size_bytes is None


def test_files_that_cannot_be_read_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(ModelFileMissing):
        read_anatomy(tmp_path / "no.gguf")
    (tmp_path / "bad.gguf").write_bytes(b"GGUF\x03\0\0\0" + bytes(range(256)))
    with pytest.raises(ModelUnreadable):
        read_anatomy(tmp_path / "bad.gguf")


SHAPES = st.fixed_dictionaries(
    {
        "layers": st.integers(1, 12),
        "hidden": st.integers(1, 16).map(lambda n: 32 * n),
        "heads": st.integers(1, 8),
        "kv_heads": st.integers(1, 8),
        "head": st.sampled_from([32, 64, 128]),
        "experts": st.integers(1, 300),
        "width": st.integers(1, 8).map(lambda n: 32 * n),
        "rows": st.integers(1, 5000),
    }
)


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.booleans(), st.sampled_from([0, 1, 2, 8, 12]), st.integers(0, 3))
def test_any_shape_adds_up(numbers: dict[str, int], tied: bool, kind: int, shared: int) -> None:
    tensors = shape(**numbers, tied=tied, kind=kind, shared=32 * shared)
    found = made(tensors)
    n, h, e, w = numbers["layers"], numbers["hidden"], numbers["experts"], numbers["width"]
    attention = n * 2 * h * numbers["head"] * (numbers["heads"] + numbers["kv_heads"])
    rest = n * (2 * h + h * e + 3 * h * 32 * shared) + h + (1 if tied else 2) * h * numbers["rows"]
    assert found.parameters == rest + attention + n * 3 * h * w * e
    assert len(found.active) == e
    for active in found.active:
        assert active.parameters == rest + attention + n * 3 * h * w * (active.experts or 0)
    assert found.active[-1].parameters == found.parameters
    row = 0 if tied else next(p.size_bytes or 0 for p in found.parts if p.part is Part.EMBEDDING)
    assert found.active[-1].read_bytes == (found.weight_bytes or 0) - row + row // numbers["rows"]
    assert sum(part.size_bytes or 0 for part in found.parts) == found.weight_bytes


def shape(
    *,
    layers: int,
    hidden: int,
    heads: int,
    kv_heads: int,
    head: int,
    experts: int,
    width: int,
    rows: int,
    tied: bool = False,
    kind: int = F16,
    shared: int = 0,
) -> list[TensorInfo]:
    """The tensors of a mixture of these measures."""
    listed: list[tuple[str, tuple[int, ...], int]] = [("token_embd.weight", (hidden, rows), kind)]
    for n in range(layers):
        at = f"blk.{n}."
        listed += [
            (at + "attn_norm.weight", (hidden,), 0),
            (at + "attn_q.weight", (hidden, heads * head), kind),
            (at + "attn_k.weight", (hidden, kv_heads * head), kind),
            (at + "attn_v.weight", (hidden, kv_heads * head), kind),
            (at + "attn_output.weight", (heads * head, hidden), kind),
            (at + "ffn_norm.weight", (hidden,), 0),
            (at + "ffn_gate_inp.weight", (hidden, experts), F16),
            (at + "ffn_gate_exps.weight", (hidden, width, experts), kind),
            (at + "ffn_up_exps.weight", (hidden, width, experts), kind),
            (at + "ffn_down_exps.weight", (width, hidden, experts), kind),
        ]
        if shared:
            listed += [
                (at + "ffn_gate_shexp.weight", (hidden, shared), kind),
                (at + "ffn_up_shexp.weight", (hidden, shared), kind),
                (at + "ffn_down_shexp.weight", (shared, hidden), kind),
            ]
    listed.append(("output_norm.weight", (hidden,), 0))
    if not tied:
        listed.append(("output.weight", (hidden, rows), kind))
    return [TensorInfo(name, sizes, kind, 0) for name, sizes, kind in listed]


def made(tensors: list[TensorInfo], *, blocks: int | None = None, heads_after: int = 0) -> Any:
    """The anatomy of these tensors under a header that says only what cannot be told from them."""
    count = len({layer_of(tensor.name) for tensor in tensors} - {None})
    values: dict[str, Any] = {"general.architecture": "qwen3moe"}
    if heads_after:
        values["qwen3moe.nextn_predict_layers"] = heads_after
    header = GgufHeader(
        path=Path("m.gguf"),
        version=3,
        values=values,
        lengths={},
        tensors=tuple(tensors),
        data_start=0,
        file_bytes=0,
    )
    experts = next(t.shape[-1] for t in tensors if "ffn_up_exps" in t.name)
    card = ModelCard(path="m.gguf", name="m", layers=blocks or count, experts=experts, experts_used=1)
    return _anatomy(card, header, tensors)
