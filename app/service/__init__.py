"""The headless half: routes, jobs, chats, telemetry and the engine's supervisor. Never imports Qt, llama_cpp or torch."""
