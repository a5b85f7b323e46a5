# SPDX-License-Identifier: Apache-2.0
"""What a run knows before it reads: its flows, the plan of each stream, and who has which table."""
