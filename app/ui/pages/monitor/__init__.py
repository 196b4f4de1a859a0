"""The Monitor: what the machine and the engine did, on one time axis, and what each answer cost."""
