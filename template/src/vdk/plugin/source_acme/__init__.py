# SPDX-License-Identifier: Apache-2.0
"""vdk-source-acme: TODO what it reads, in one line."""
