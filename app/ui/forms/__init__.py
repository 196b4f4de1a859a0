"""The form made from the table of settings: one row a knob, its explanation under the focused one."""
