# SPDX-License-Identifier: Apache-2.0
"""A response as records: decoding, where the records are, and what a status or an error in the body means."""
