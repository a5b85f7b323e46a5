# SPDX-License-Identifier: Apache-2.0
"""What VDK loads on every command. It adds nothing: Spark starts the reading, and no command has to wait for it."""
