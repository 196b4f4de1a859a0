"""The reading column: messages as widgets, made only near the screen, and what belongs to each of them."""
