"""The column of chats: search, groups by time, folders, and what can be done with a chat from the list."""
