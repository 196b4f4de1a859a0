"""The words both sides use: settings, presets, messages, errors, units, paths.

This room imports nothing else of Pult, no Qt, no engine, no web framework.
"""
