"""The Presets page: the list, the form, and what a preset would mean for a model."""
