# SPDX-License-Identifier: Apache-2.0
"""Serves every data source as a CloudQuery source plugin: ``vdk datasource serve NAME --cloudquery``.

CloudQuery's plugin protocol, version 3, over gRPC. ``spec`` validates what the user wrote, ``tables`` describes streams
as CloudQuery's tables, ``sync`` runs the base's readers into ``sink``, which turns rows into messages (``columns``,
``record_batches``), and ``state_backend`` keeps states where CloudQuery keeps them. ``server`` is the process.
"""
