"""A model file's card: everything the header says that a person chooses by; no weights are read."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from app.models.gguf_header import GgufHeader, TensorInfo, read_header, split_parts
from app.shared.errors import ErrorInfo, ModelFileMissing, ModelUnreadable, PultError
from app.shared.settings import ModelFacts

_THINKS = re.compile(r"enable_thinking|</think>")


class ModelCard(BaseModel):
    """One model on disk. Sizes in bytes, lengths in tokens; None where the header does not say.

    `problem` is set when the file cannot be read or is cut off; then only `path`, `name` and what could be read are there.
    """

    model_config = ConfigDict(frozen=True)

    path: str  # of the first part, if it is split
    name: str
    architecture: str | None = None
    quantisation: str | None = None
    file_bytes: int | None = None  # all parts together
    weight_bytes: int | None = None  # the tensors alone
    parameter_count: int | None = None
    layers: int | None = None
    experts: int | None = None
    experts_used: int | None = None  # per token, as trained
    trained_context: int | None = None
    embedding: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    key_length: int | None = None  # of one head
    value_length: int | None = None
    attention_layers: int | None = None  # fewer than `layers` in hybrid models
    feed_forward: int | None = None  # width of a dense layer
    expert_feed_forward: int | None = None  # width of one expert
    vocabulary: int | None = None
    chat_template: bool = False
    can_think: bool = False
    rope_base: float | None = None
    rope_scaling: str | None = None
    rope_dimensions: int | None = None  # of each head, turned by the position
    parts: int = 1
    modified_at: float | None = None
    guide: bool = False  # the model that comes with Pult
    opened_at: float | None = None
    default_preset: str | None = None
    problem: ErrorInfo | None = None

    def facts(self) -> ModelFacts:
        """Return what the settings table asks of a model."""
        return ModelFacts(
            architecture=self.architecture or "this model",
            layers=self.layers,
            experts=self.experts,
            experts_trained=self.experts_used,
            trained_context=self.trained_context,
            rope_scaled=self.rope_scaling not in (None, "none"),
            rope_base=self.rope_base,
            rope_dimensions=self.rope_dimensions,
        )


def model_card(path: Path) -> ModelCard:
    """Return the file's card; a file that cannot be read, or is cut off, gives a card with a `problem`."""
    try:
        return read_card(path)
    except PultError as error:
        try:
            size = path.stat().st_size
        except (OSError, ValueError):
            size = None
        return ModelCard(path=str(path), name=path.stem, file_bytes=size, problem=error.info())


@dataclass(frozen=True)
class WholeModel:
    """All parts of a model, each checked to hold what its header promises. Bytes and tensors of all parts together."""

    first: GgufHeader
    tensors: list[TensorInfo]
    file_bytes: int
    parts: tuple[Path, ...]


def read_whole(path: Path) -> WholeModel:
    """Read the headers of a model's files; raises `ModelFileMissing` or `ModelUnreadable` with the reason."""
    parts = split_parts(path)
    first = read_header(parts[0] if parts[0].exists() else path)
    if first.architecture is None:
        raise ModelUnreadable("{name} does not name its architecture. Choose another file.", name=path.name)
    tensors = list(first.tensors)
    total = first.file_bytes
    _check_whole(first)
    for part in parts[1:]:
        try:
            header = read_header(part)
        except ModelFileMissing:
            raise ModelFileMissing(
                "{name} is one of {count} parts and {missing} is not beside it. Put all parts into one folder.",
                name=path.name,
                count=len(parts),
                missing=part.name,
            ) from None
        _check_whole(header)
        tensors += header.tensors
        total += header.file_bytes
    return WholeModel(first, tensors, total, parts)


def read_card(path: Path) -> ModelCard:
    """Return the card of a whole, readable model; raises `ModelFileMissing` or `ModelUnreadable`."""
    whole = read_whole(path)
    return _card(whole.first, whole.tensors, whole.file_bytes, whole.parts)


def _card(header: GgufHeader, tensors: list[TensorInfo], total: int, parts: tuple[Path, ...]) -> ModelCard:
    heads, embedding = header.number("attention.head_count"), header.number("embedding_length")
    layers = header.number("block_count")
    head = embedding // heads if heads and embedding else None
    template = header.text("tokenizer.chat_template")
    base = header.values.get(f"{header.architecture}.rope.freq_base")
    return ModelCard(
        path=str(parts[0]),
        name=header.text("general.name") or parts[0].stem,
        architecture=header.architecture,
        quantisation=_quantisation(header, tensors),
        file_bytes=total,
        weight_bytes=sum(tensor_bytes(tensor) or 0 for tensor in tensors) or None,
        parameter_count=sum(tensor.elements for tensor in tensors) or None,
        layers=layers,
        experts=header.number("expert_count") or None,
        experts_used=header.number("expert_used_count") or None,
        trained_context=header.number("context_length"),
        embedding=embedding,
        heads=heads,
        kv_heads=header.number("attention.head_count_kv") or heads,
        key_length=header.number("attention.key_length") or head,
        value_length=header.number("attention.value_length") or head,
        attention_layers=_attention_layers(header, layers),
        feed_forward=header.number("feed_forward_length") or None,
        expert_feed_forward=header.number("expert_feed_forward_length") or None,
        vocabulary=header.lengths.get("tokenizer.ggml.tokens") or header.number("vocab_size"),
        chat_template=template is not None,
        can_think=template is not None and _THINKS.search(template) is not None,
        rope_base=float(base) if isinstance(base, (int, float)) else None,
        rope_scaling=header.text(f"{header.architecture}.rope.scaling.type"),
        rope_dimensions=header.number("rope.dimension_count")
        or header.number("attention.key_length")
        or head,
        parts=len(parts),
        modified_at=_modified(parts[0]),
    )


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _attention_layers(header: GgufHeader, layers: int | None) -> int | None:
    """Layers that keep a KV cache; in qwen3next, qwen35 and qwen35moe only every n-th does (`full_attention_interval`)."""
    if layers is None:
        return None
    by_layer = header.by_layer("attention.head_count_kv", layers)
    if isinstance(header.values.get(f"{header.architecture}.attention.head_count_kv"), list) and by_layer:
        return sum(1 for heads in by_layer if heads)
    interval = header.number("full_attention_interval")
    if interval is None and header.architecture in ("qwen3next", "qwen35", "qwen35moe"):
        interval = 4  # llama.cpp's own default for these architectures
    return layers // interval if interval else layers


def tensor_bytes(tensor: TensorInfo) -> int | None:
    """Return a tensor's size on disk; None for a type that the gguf package does not know."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType  # slow to import; the window needs only the card

    try:
        per_block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(tensor.type)]
    except (ValueError, KeyError):
        return None
    return int(tensor.elements // per_block * block_bytes)


def _check_whole(header: GgufHeader) -> None:
    ends = [tensor.offset + size for tensor in header.tensors if (size := tensor_bytes(tensor)) is not None]
    needed = header.data_start + max(ends, default=0)
    if ends and needed > header.file_bytes:
        if needed > 1 << 50:
            raise ModelUnreadable(
                "{name} is damaged: a tensor lies beyond any file's end. Download it again.",
                name=header.path.name,
            )
        raise ModelUnreadable(
            "{name} is cut off: it has {size} bytes and its tensors need {needed}. Download it again.",
            name=header.path.name,
            size=header.file_bytes,
            needed=needed,
        )


def _quantisation(header: GgufHeader, tensors: list[TensorInfo]) -> str | None:
    """The file's own word for its mixture (`Q4_K_M`), else the type that holds most weights."""
    from gguf import GGMLQuantizationType, LlamaFileType

    said = header.values.get("general.file_type")
    if isinstance(said, int):
        try:
            return str(LlamaFileType(said).name).removeprefix("MOSTLY_").removeprefix("ALL_")
        except ValueError:
            pass  # a mixture newer than the gguf package: counted below
    weights: Counter[int] = Counter()
    for tensor in tensors:
        weights[tensor.type] += tensor.elements
    for kind, _ in weights.most_common(1):
        try:
            return str(GGMLQuantizationType(kind).name)
        except ValueError:
            return None
    return None
