# SPDX-License-Identifier: Apache-2.0
"""What the checks use: runs of a source, its payloads, broken servers, and the resources of the process."""
