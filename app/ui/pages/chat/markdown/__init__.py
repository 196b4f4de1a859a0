"""Markdown as answers use it, turned into plain blocks of text runs; no Qt here.

HTML in an answer stays visible text: nothing a model writes is ever interpreted beyond Markdown.
"""

from app.ui.pages.chat.markdown.blocks import Block, Code, Paragraph, Rule, Run, Table
from app.ui.pages.chat.markdown.parse import parse
from app.ui.pages.chat.markdown.stream import MarkdownStream

__all__ = ["Block", "Code", "MarkdownStream", "Paragraph", "Rule", "Run", "Table", "parse"]
