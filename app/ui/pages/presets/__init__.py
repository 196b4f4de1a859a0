"""The Presets page: the list, the form made from the table, what loading would change."""
