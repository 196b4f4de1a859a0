"""Chats on disk: folders, trees of messages, search, files to take along. No HTTP, no engine."""
