"""CloudQuery's own command, with configurations for it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vdk.plugin.datasource_cloudquery.serving.install import install


class CloudQuery:
    """Runs the CLI on ``config.yaml`` in its folder. YAML is a superset of JSON."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self.folder = folder
        self.output = ""

    def configure(
        self,
        source: str,
        spec: Mapping[str, Any],
        destination: str,
        *,
        tables: Sequence[str] = ("*",),
        write_mode: str = "overwrite-delete-stale",
        state: bool = False,
        address: str | None = None,
        **options: Any,
    ) -> None:
        """Write the configuration.

        :param address: of a running server; default: an executable, which the CLI starts.
        """
        backend = {"backend_options": {"table_name": "cq_state", "connection": "@@plugins.memory.connection"}}
        path = address or str(install(source, self.folder / f"cq-source-{source}"))
        documents = [
            {
                "kind": "source",
                "spec": {
                    "name": source,
                    "registry": "grpc" if address else "local",
                    "path": path,
                    "tables": list(tables),
                    "destinations": ["memory"],
                    "spec": dict(spec),
                    **(backend if state else {}),
                    **options,
                },
            },
            {
                "kind": "destination",
                "spec": {
                    "name": "memory",
                    "registry": "grpc",
                    "path": destination,
                    "write_mode": write_mode,
                    "spec": {},
                },
            },
        ]
        (self.folder / "config.yaml").write_text("\n---\n".join(map(json.dumps, documents)))

    def run(self, *arguments: str) -> int:
        """The exit code; what was printed is in ``output``."""
        environment = {**os.environ, "CQ_TELEMETRY_LEVEL": "none"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [str(self._binary), *arguments, "config.yaml", "--no-log-file", "--log-console"]
        result = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        self.output = result.stdout + result.stderr
        return result.returncode
