"""Reading a table by its cursor: bounds, state, the rows seen before, and key sweeps."""
