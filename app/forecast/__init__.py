"""What a model will take of memory, by rules alone: arithmetic, verdicts, and the search for settings that fit.

Knows files and settings; runs no engine and measures nothing.
"""
