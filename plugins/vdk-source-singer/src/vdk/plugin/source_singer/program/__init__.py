# SPDX-License-Identifier: Apache-2.0
"""The program of a tap: its environment, its process, and the files that it is given."""
