"""The right panel: what fills the context, the sampling in force, the system prompt."""
