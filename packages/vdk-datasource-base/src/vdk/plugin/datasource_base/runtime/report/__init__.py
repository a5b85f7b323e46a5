# SPDX-License-Identifier: Apache-2.0
"""Reports of a run: the summary, the progress on a terminal or in the log, and log records without secrets."""
