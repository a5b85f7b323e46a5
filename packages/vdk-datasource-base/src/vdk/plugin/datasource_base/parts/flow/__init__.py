# SPDX-License-Identifier: Apache-2.0
"""Flow files: their shape, what overrides their options, CloudQuery's files, and a flow as the text of a file."""
