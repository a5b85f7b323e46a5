# SPDX-License-Identifier: Apache-2.0
"""vdk-source-singer: the streams of any Singer tap, with the tap's own state."""
