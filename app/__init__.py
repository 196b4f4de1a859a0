"""Pult: a desktop control panel for one person running GGUF Qwen models on their own workstation."""

__version__ = "0.1.0"
