# SPDX-License-Identifier: Apache-2.0
"""Every source as a Singer tap: schemas, values and messages of Singer's protocol, and the sync that writes them."""
