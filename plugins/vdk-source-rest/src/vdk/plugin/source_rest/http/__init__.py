# SPDX-License-Identifier: Apache-2.0
"""HTTP: requests and responses, how they are sent, and how fast."""
