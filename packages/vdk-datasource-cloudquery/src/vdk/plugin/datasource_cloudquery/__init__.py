# SPDX-License-Identifier: Apache-2.0
"""Serves every data source as a CloudQuery source plugin: ``vdk datasource serve NAME --cloudquery``.

CloudQuery's plugin protocol, version 3, over gRPC. Each folder imports those before it. ``tables`` describes streams as
CloudQuery's tables, and encodes rows. ``source`` validates what the user wrote, and connects the source. ``sync`` runs
the base's readers into ``sink``, which turns rows into messages, and keeps states where CloudQuery keeps them.
``serving`` is the process, its requests and its log.
"""
