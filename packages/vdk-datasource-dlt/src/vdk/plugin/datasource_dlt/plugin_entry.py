# SPDX-License-Identifier: Apache-2.0
"""What VDK loads on every command. It adds nothing: dlt's pipelines start the reading."""
