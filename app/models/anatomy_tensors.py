"""A model's anatomy: its shape, what each part weighs, and how much of it works on one token. Exact: added up tensor by tensor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from app.models.anatomy_parts import Part, layer_of, part_of, recurrent_layers
from app.models.card import ModelCard, read_card, tensor_bytes
from app.models.gguf_header import GgufHeader, TensorInfo, read_header, split_parts
from app.shared.errors import from_info

_ASLEEP = (Part.PREDICTION,)  # in the file, at rest while decoding


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class PartSize(_Frozen):
    """What one part weighs; `size_bytes` None where a tensor has a type that the gguf package does not know."""

    part: Part
    tensors: int
    parameters: int
    size_bytes: int | None


class ActiveAt(_Frozen):
    """What works on one token with this many experts; `experts` None in a model without any.

    `parameters` counts the whole embedding, as names such as 30B-A3B do. `read_bytes` is what decoding one token reads of
    the weights: of the embedding one row, of the experts k of n, everything else whole. The KV cache is not in it.
    """

    experts: int | None
    parameters: int
    read_bytes: int | None


class Anatomy(_Frozen):
    """The shape the weights were trained in. Sizes in bytes, lengths in tokens, None where the file does not say."""

    path: str
    name: str
    architecture: str | None
    quantisation: str | None
    file_bytes: int | None
    layers: int | None  # those a token passes; prediction heads are not counted
    attention_layers: int  # those with a KV cache
    recurrent_layers: int  # those with a state of fixed size instead: a hybrid model has both
    expert_layers: int  # those with experts; the others have a dense feed-forward network
    heads: int | None
    kv_heads: int | None
    key_length: int | None  # of one head
    value_length: int | None
    embedding: int | None  # the hidden size
    feed_forward: int | None
    experts: int | None
    experts_trained: int | None  # per token
    expert_width: int | None
    shared_expert_width: int | None
    vocabulary: int | None
    trained_context: int | None
    rope_base: float | None
    rope_dimensions: int | None  # of each head, turned by the position
    tied_output: bool  # the embedding is the output matrix too
    parameters: int
    weight_bytes: int | None
    parts: tuple[PartSize, ...]  # those that the file has, in the order a token meets them
    active: tuple[ActiveAt, ...]  # k = 1…count; a single one without experts

    @property
    def hybrid(self) -> bool:
        """Whether some layers have attention and others a recurrent state."""
        return bool(self.attention_layers and self.recurrent_layers)

    def at(self, experts: int | None) -> ActiveAt:
        """Return what works with this many experts, held to the bounds; None means as trained."""
        if len(self.active) == 1:
            return self.active[0]
        wanted = experts or self.experts_trained or 1
        return self.active[min(max(wanted, 1), len(self.active)) - 1]


def read_anatomy(path: Path) -> Anatomy:
    """Read the headers of all parts; raises `ModelFileMissing` or `ModelUnreadable`."""
    return anatomy_of(read_card(path))


def anatomy_of(card: ModelCard) -> Anatomy:
    """Return the anatomy of the file that `card` describes; raises its problem if it has one."""
    if card.problem is not None:
        raise from_info(card.problem)
    headers = [read_header(part) for part in split_parts(Path(card.path))]
    return _anatomy(card, headers[0], [tensor for header in headers for tensor in header.tensors])


def _anatomy(card: ModelCard, header: GgufHeader, tensors: Sequence[TensorInfo]) -> Anatomy:
    blocks = card.layers
    layers = None if blocks is None else blocks - (header.number("nextn_predict_layers") or 0)
    recurrent = recurrent_layers(tensors)
    parts = [part_of(tensor.name, recurrent=recurrent, layers=layers) for tensor in tensors]
    placed = list(zip(tensors, parts, strict=True))
    tied = not any(part is Part.OUTPUT for part in parts)
    sizes = tuple(
        _size(part, [tensor for tensor, at in placed if at is part]) for part in Part if part in parts
    )

    def in_layers(part: Part) -> set[int | None]:
        return {layer_of(tensor.name) for tensor, at in placed if at is part}

    return Anatomy(
        path=card.path,
        name=card.name,
        architecture=card.architecture,
        quantisation=card.quantisation,
        file_bytes=card.file_bytes,
        layers=layers,
        attention_layers=len(in_layers(Part.ATTENTION)),
        recurrent_layers=len(in_layers(Part.RECURRENT)),
        expert_layers=len(in_layers(Part.EXPERTS)),
        heads=card.heads,
        kv_heads=card.kv_heads,
        key_length=card.key_length,
        value_length=card.value_length,
        embedding=card.embedding,
        feed_forward=card.feed_forward,
        experts=card.experts,
        experts_trained=card.experts_used,
        expert_width=card.expert_feed_forward,
        shared_expert_width=header.number("expert_shared_feed_forward_length") or None,
        vocabulary=card.vocabulary,
        trained_context=card.trained_context,
        rope_base=card.rope_base,
        rope_dimensions=card.rope_dimensions,
        tied_output=tied,
        parameters=sum(size.parameters for size in sizes),
        weight_bytes=_sum([size.size_bytes for size in sizes]),
        parts=sizes,
        active=_active(placed, card.experts, tied=tied),
    )


def _size(part: Part, tensors: Sequence[TensorInfo]) -> PartSize:
    return PartSize(
        part=part,
        tensors=len(tensors),
        parameters=sum(tensor.elements for tensor in tensors),
        size_bytes=_sum([tensor_bytes(tensor) for tensor in tensors]),
    )


def _active(
    placed: Sequence[tuple[TensorInfo, Part]], experts: int | None, *, tied: bool
) -> tuple[ActiveAt, ...]:
    parameters, read = 0, 0
    known = True
    each: dict[
        int, tuple[int, int]
    ] = {}  # by the number of experts in a tensor: parameters and bytes of one of them
    for tensor, part in placed:
        if part in _ASLEEP:
            continue
        size = tensor_bytes(tensor)
        known = known and size is not None
        # The last dimension of an expert tensor counts the experts, that of the embedding the rows: both divide evenly.
        last = tensor.shape[-1]
        if part is Part.EXPERTS and experts is not None:
            before = each.get(last, (0, 0))
            each[last] = (before[0] + tensor.elements // last, before[1] + (size or 0) // last)
            continue
        parameters += tensor.elements
        looked_up = part is Part.EMBEDDING and not tied
        read += (size or 0) // (last if looked_up else 1)
    found = []
    for count in range(1, experts + 1) if experts else (None,):
        used = [(min(count or 0, most), one) for most, one in each.items()]
        found.append(
            ActiveAt(
                experts=count,
                parameters=parameters + sum(times * one[0] for times, one in used),
                read_bytes=read + sum(times * one[1] for times, one in used) if known else None,
            )
        )
    return tuple(found)


def _sum(sizes: Sequence[int | None]) -> int | None:
    total = 0
    for size in sizes:
        if size is None:
            return None
        total += size
    return total
