# SPDX-License-Identifier: Apache-2.0
"""States outside a destination: the state store in a file, and the file that survives a kill."""
