"""What a GGUF file says of itself, and which files there are. Reads headers; never loads weights."""
