# SPDX-License-Identifier: Apache-2.0
"""Reading a table by its cursor: bounds, state, the rows seen before, and key sweeps."""
