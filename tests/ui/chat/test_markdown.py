"""Markdown into blocks: what answers contain, what must not be interpreted, and growing text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ui.pages.chat.markdown import Code, MarkdownStream, Paragraph, Rule, Table, parse
from app.ui.pages.chat.markdown.highlight import highlight
from app.ui.pages.chat.markdown.maths import readable
from app.ui.pages.chat.markdown.parse import safe_link

ANSWER = """# Title

It grows **linearly** with `n_ctx` and *slowly*.

1. First
2. Second
   - inner one
   - inner two

   ```python
   x = 1
   ```
3. Third

> quoted
> text

| Context | f16 |
|--------:|:----|
| 8,192   | 768 MiB |
| 32,768  | 3.00 GiB |

```python
def f(x):
    return x  # a comment

print(f(2))
```

See [the page](https://example.org/a) and [not this](javascript:alert(1)).

---

<b>tags</b> stay
"""


def _texts(source: str) -> list[str]:
    return [block.text for block in parse(source) if isinstance(block, Paragraph)]


def test_an_answer_becomes_blocks_with_their_places() -> None:
    blocks = parse(ANSWER)
    heading = blocks[0]
    assert isinstance(heading, Paragraph) and heading.level == 1 and heading.text == "Title"
    prose = blocks[1]
    assert isinstance(prose, Paragraph)
    assert [(r.text, r.bold, r.code, r.italic) for r in prose.runs if r.bold or r.code or r.italic] == [
        ("linearly", True, False, False),
        ("n_ctx", False, True, False),
        ("slowly", False, False, True),
    ]
    items = [b for b in blocks if isinstance(b, Paragraph) and b.marker is not None]
    assert [(b.marker, b.indent) for b in items] == [("1.", 1), ("2.", 1), ("◦", 2), ("◦", 2), ("3.", 1)]
    inner_code = next(b for b in blocks if isinstance(b, Code))
    assert inner_code.indent == 1 and inner_code.text == "x = 1" and inner_code.closed
    quoted = next(b for b in blocks if isinstance(b, Paragraph) and b.quote)
    assert quoted.text == "quoted text"
    assert any(isinstance(b, Rule) for b in blocks)


def test_tables_keep_alignment_and_fill_short_rows() -> None:
    table = parse("| a | b | c |\n|--:|:-:|---|\n| 1 | 2 |\n")[0]
    assert isinstance(table, Table)
    assert table.aligns == ("right", "center", "left")
    assert [["".join(r.text for r in cell) for cell in row] for row in table.rows] == [["1", "2", ""]]


def test_html_is_text_and_only_web_links_can_be_followed() -> None:
    blocks = parse(ANSWER)
    runs = [run for block in blocks if isinstance(block, Paragraph) for run in block.runs]
    assert [run.link for run in runs if run.link] == ["https://example.org/a"]
    assert "<b>tags</b> stay" in _texts(ANSWER)[-1]
    assert safe_link("file:///etc/passwd") is None
    assert safe_link("http://[broken") is None
    assert safe_link("data:text/html,x") is None


def test_code_fences_open_and_closed() -> None:
    closed = parse("```py\na\n\nb\n```\n")[0]
    assert isinstance(closed, Code) and closed.closed and closed.text == "a\n\nb" and closed.language == "py"
    open_one = parse("```py\na\n")[0]
    assert isinstance(open_one, Code) and not open_one.closed and open_one.text == "a"


def test_money_is_not_maths_and_maths_is_readable() -> None:
    assert _texts("It costs $5 and $6 more") == ["It costs $5 and $6 more"]
    assert _texts(r"Energy $E = mc^2$ here") == ["Energy E = mc² here"]
    assert _texts(r"\(\alpha \le \frac{a+b}{2}\)") == ["α ≤ (a+b)/2"]
    block = parse("$$\n\\sum_{i=1}^{n} x_i\n$$\n")[0]
    assert isinstance(block, Paragraph) and block.display_maths and block.text == "∑ᵢ₌₁ⁿ xᵢ"
    assert readable(r"\sqrt{x+1} \unknown") == r"√(x+1) \unknown"
    assert readable("{" * 500 + "x") == "{" * 500 + "x"
    assert readable(r"a\*b \** \operatorname*{max}") == "a*b ** max"


def test_check_boxes_are_markers() -> None:
    items = [b for b in parse("- [x] done\n- [ ] open\n") if isinstance(b, Paragraph)]
    assert [(b.marker, b.text) for b in items] == [("☑", "done"), ("☐", "open")]


@pytest.mark.parametrize("step", [1, 3, 7, 50])
def test_growing_text_ends_in_the_same_blocks_as_the_whole(step: int) -> None:
    stream = MarkdownStream()
    for at in range(0, len(ANSWER), step):
        before = stream.blocks
        stream.append(ANSWER[at : at + step])
        kept = min(stream.changed_from, len(before))
        assert stream.blocks[:kept] == before[:kept]
    stream.finish()
    assert [_shape(b) for b in stream.blocks] == [_shape(b) for b in parse(ANSWER)]


def _shape(block: object) -> tuple[object, ...]:
    """Blocks but for looseness: an item parsed on its own cannot know how its list is spaced."""
    if isinstance(block, Paragraph):
        return ("p", block.text, block.level, block.indent, block.quote, block.marker is not None)
    if isinstance(block, Code):
        return ("c", block.text, block.language, block.indent, block.closed)
    if isinstance(block, Table):
        return ("t", block.head, block.rows)
    return (type(block).__name__,)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab `*_#->|\n1.$\\[]()~", max_size=120), st.integers(1, 9))
def test_any_text_streams_without_error_and_loses_no_letters(source: str, step: int) -> None:
    stream = MarkdownStream()
    for at in range(0, len(source), step):
        stream.append(source[at : at + step])
    stream.finish()
    assert stream.source == source


def test_a_long_open_fence_grows_without_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = MarkdownStream()
    stream.append("Text\n\n```python\nx = 1\n")

    def refuse(*_args: object, **_more: object) -> None:
        raise AssertionError("parsed again")

    monkeypatch.setattr("app.ui.pages.chat.markdown.stream.parse", refuse)
    for number in range(50):
        stream.append(f"y{number} = {number}\n")
    code = stream.blocks[-1]
    assert isinstance(code, Code) and code.text.endswith("y49 = 49") and code.text.startswith("x = 1")


def test_reference_links_are_found_at_the_end() -> None:
    stream = MarkdownStream()
    for piece in ("See [here][1].\n\n", "Next.\n\n", "[1]: https://example.org\n"):
        stream.append(piece)
    stream.finish()
    first = stream.blocks[0]
    assert isinstance(first, Paragraph)
    assert [run.link for run in first.runs if run.link] == ["https://example.org"]


def test_highlighting_keeps_lines_in_step() -> None:
    lines = highlight("\n\ndef f():\n    return 'a'  # c\n", "python")
    assert len(lines) == 5
    assert lines[0] == lines[1] == ()
    assert [(s.start, s.length, s.kind) for s in lines[2]] == [(0, 3, "code_kw"), (4, 1, "code_fn")]
    assert [s.kind for s in lines[3]] == ["code_kw", "code_str", "code_com"] or {
        s.kind for s in lines[3]
    } == {
        "code_kw",
        "code_str",
        "code_com",
    }
    assert highlight("a\nb", "no-such-language") == ((), ())
