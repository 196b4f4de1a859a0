"""How many experts a person may ask for, in the words that refuse more; the same in service and worker."""

from __future__ import annotations

from app.shared.errors import BadValue


def check_experts(count: int, experts: int | None, limit: int | None) -> None:
    """Raise `BadValue` unless 1 ≤ count ≤ what the model has and what its graph has room for; None is not known."""
    known = [bound for bound in (experts, limit) if bound is not None]
    if count >= 1 and all(count <= bound for bound in known):
        return
    if limit is not None and experts is not None and limit < count <= experts:
        raise BadValue(
            "Experts per token is {value}. This model has {experts}, but llama.cpp's graph for it has room for {limit}; "
            "choose 1 to {limit}.",
            key="experts",
            value=count,
            experts=experts,
            limit=limit,
        )
    if not known:
        raise BadValue("Experts per token is {value}. It takes 1 or more.", key="experts", value=count)
    raise BadValue(
        "Experts per token is {value}. It takes 1 to {most}.", key="experts", value=count, most=min(known)
    )
