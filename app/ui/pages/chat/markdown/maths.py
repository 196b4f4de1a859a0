"""LaTeX maths as readable text: Greek letters, operators, powers and fractions in Unicode; what is unknown stays as written."""

from __future__ import annotations

import re

_WORDS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "vartheta": "ϑ", "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π",
    "rho": "ρ", "sigma": "σ", "tau": "τ", "upsilon": "υ", "phi": "φ", "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω",
    "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ",
    "Omega": "Ω", "times": "×", "cdot": "·", "cdots": "⋯", "ldots": "…", "dots": "…", "div": "÷", "pm": "±", "mp": "∓",
    "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "approx": "≈", "equiv": "≡", "sim": "∼",
    "propto": "∝", "ll": "≪", "gg": "≫", "in": "∈", "notin": "∉", "subset": "⊂", "subseteq": "⊆", "cup": "∪", "cap": "∩",
    "emptyset": "∅", "forall": "∀", "exists": "∃", "neg": "¬", "land": "∧", "lor": "∨", "to": "→", "rightarrow": "→",
    "leftarrow": "←", "Rightarrow": "⇒", "implies": "⇒", "iff": "⇔", "Leftrightarrow": "⇔", "mapsto": "↦", "infty": "∞",
    "partial": "∂", "nabla": "∇", "sum": "∑", "prod": "∏", "int": "∫", "oint": "∮", "angle": "∠", "circ": "∘", "deg": "°",
    "prime": "′", "ell": "ℓ", "hbar": "ℏ", "Re": "ℜ", "Im": "ℑ", "aleph": "ℵ", "perp": "⊥", "parallel": "∥", "oplus": "⊕",
    "otimes": "⊗", "langle": "⟨", "rangle": "⟩", "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "mid": "|",
    "vert": "|", "Vert": "‖", "quad": "  ", "qquad": "    ", "lbrace": "{", "rbrace": "}", "backslash": "\\",
    "star": "⋆", "dagger": "†", "top": "⊤", "bot": "⊥", "therefore": "∴", "because": "∵",
}  # fmt: skip
_PLAIN_WORDS = (
    "log ln exp sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh max min sup inf lim det gcd "
    "arg dim ker Pr"
)
_PLAIN = frozenset(_PLAIN_WORDS.split())
_BARE = frozenset(
    (
        "left",
        "right",
        "big",
        "Big",
        "bigl",
        "bigr",
        "Bigl",
        "Bigr",
        "displaystyle",
        "textstyle",
        "limits",
        "nolimits",
    )
)
_WRAPPERS = frozenset(
    (
        "text",
        "mathrm",
        "mathbf",
        "mathit",
        "mathsf",
        "mathtt",
        "operatorname",
        "textbf",
        "textit",
        "mathcal",
        "boxed",
    )
)
_DOUBLE = {"R": "ℝ", "N": "ℕ", "Z": "ℤ", "Q": "ℚ", "C": "ℂ", "P": "ℙ", "E": "𝔼"}
_SUPER = dict(
    zip("0123456789+-=()niabcdefghjklmoprstuvwxyzT", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᵃᵇᶜᵈᵉᶠᵍʰʲᵏˡᵐᵒᵖʳˢᵗᵘᵛʷˣʸᶻᵀ", strict=True)
)
_SUB = dict(zip("0123456789+-=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True))
_ACCENTS = {
    "hat": "\u0302",
    "bar": "\u0304",
    "tilde": "\u0303",
    "vec": "\u20d7",
    "dot": "\u0307",
    "overline": "\u0304",
}
_TOKEN = re.compile(r"\\([A-Za-z]+)\*?|\\(.)|([{}^_&])|(\s+)|([^\\{}^_&\s])", re.DOTALL)
_DEPTH_LIMIT = 40  # deeper nesting than any formula has; a longer one is shown as written


def readable(source: str) -> str:
    """Return LaTeX maths as one readable line (rows of an environment become lines)."""
    tokens = [match.group(0) for match in _TOKEN.finditer(source)]
    try:
        text, _ = _sequence(tokens, 0, depth=0)
    except RecursionError:
        return source
    return "\n".join(line.strip() for line in re.sub(r"[ \t]+", " ", text).split("\n")).strip()


def _sequence(tokens: list[str], at: int, *, depth: int) -> tuple[str, int]:
    """Read up to a closing brace or the end; return the text and the position after it."""
    if depth > _DEPTH_LIMIT:
        raise RecursionError
    parts: list[str] = []
    while at < len(tokens) and tokens[at] != "}":
        text, at = _one(tokens, at, depth=depth)
        parts.append(text)
    return "".join(parts), at + 1


def _argument(tokens: list[str], at: int, *, depth: int) -> tuple[str, int]:
    while at < len(tokens) and tokens[at].isspace():
        at += 1
    return _one(tokens, at, depth=depth) if at < len(tokens) else ("", at)


def _one(tokens: list[str], at: int, *, depth: int) -> tuple[str, int]:
    token = tokens[at]
    if token == "{":
        return _sequence(tokens, at + 1, depth=depth + 1)
    if token in ("^", "_"):
        inner, at = _argument(tokens, at + 1, depth=depth + 1)
        letters = _SUPER if token == "^" else _SUB
        if inner and all(letter in letters for letter in inner):
            return "".join(letters[letter] for letter in inner), at
        return (f"{token}{inner}" if len(inner) <= 1 else f"{token}({inner})"), at
    if token == "&":
        return " ", at + 1
    if not token.startswith("\\") or len(token) == 1:
        return token, at + 1
    name = token[1:]  # a starred name means the same; \\* alone is an asterisk
    return _command(name.rstrip("*") or name, tokens, at + 1, depth=depth)


def _command(name: str, tokens: list[str], at: int, *, depth: int) -> tuple[str, int]:
    if name in ("frac", "dfrac", "tfrac"):
        above, at = _argument(tokens, at, depth=depth + 1)
        below, at = _argument(tokens, at, depth=depth + 1)
        return f"{_grouped(above)}/{_grouped(below)}", at
    if name == "sqrt":
        inner, at = _argument(tokens, at, depth=depth + 1)
        return "√" + _grouped(inner), at
    if name == "mathbb":
        inner, at = _argument(tokens, at, depth=depth + 1)
        return "".join(_DOUBLE.get(letter, letter) for letter in inner), at
    if name in _ACCENTS:
        inner, at = _argument(tokens, at, depth=depth + 1)
        return inner[:1] + _ACCENTS[name] + inner[1:] if len(inner) == 1 else inner, at
    if name in _WRAPPERS:
        return _argument(tokens, at, depth=depth + 1)
    if name in ("begin", "end"):
        _, at = _argument(tokens, at, depth=depth + 1)
        return "", at
    if name in _BARE:
        return "", at
    if name in _WORDS:
        return _WORDS[name], at
    if name in _PLAIN:
        return name, at
    if name == "\\":
        return "\n", at
    if name in (",", ";", ":", " "):
        return " ", at
    if name == "!":
        return "", at
    return (name if not name[0].isalpha() else "\\" + name), at


def _grouped(text: str) -> str:
    """Parentheses around anything that is not a single term."""
    return text if re.fullmatch(r"[\w.′]+|\(.*\)|[^\s]", text) else f"({text})"
