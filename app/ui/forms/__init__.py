"""Forms made from the table of settings: one row a knob, with its stage, its tick, its explanation and its errors."""
