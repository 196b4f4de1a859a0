"""Where a message is written: the field, its files, the thinking switch, the context ring, Send and Stop."""
