"""A tap over a folder of JSON lines, as its author would write it by the specification, with the standard library.

Each file ``orders.jsonl`` is a stream with the key ``id``, read by the property ``changed``; ``orders.schema.json``
beside it is its schema. A record may have ``_sdc_deleted_at``. A state follows every ``page`` records. The suite starts
it hundreds of times, so it imports what starts at once.
"""
# mypy: disable-error-code="type-arg, no-any-return"

import json
import os
import sys


def main() -> None:
    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    config = load(options["--config"])
    folder = config["folder"]
    print(f"INFO reading {folder} with {config.get('api_token')}", file=sys.stderr)
    if not os.path.isdir(folder):
        sys.exit(f"CRITICAL {folder} is not a folder")
    if sys.argv[-1] == "--discover":
        names = sorted(name.removesuffix(".jsonl") for name in os.listdir(folder) if name.endswith(".jsonl"))
        json.dump({"streams": [entry(folder, name, config) for name in names]}, sys.stdout)
        return
    state = load(options["--state"]) if "--state" in options else {"bookmarks": {}}
    for stream in load(options.get("--catalog") or options["--properties"])["streams"]:
        metadata = {tuple(item["breadcrumb"]): item["metadata"] for item in stream["metadata"]}
        if metadata[()]["selected"]:
            sync(folder, config, stream, metadata, state)


def load(path: str) -> dict:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def entry(folder: str, name: str, config: dict) -> dict:
    schema = load(f"{folder}/{name}.schema.json")
    method = config.get("method", "INCREMENTAL")
    root = {"table-key-properties": ["id"], "replication-method": method}
    if method == "INCREMENTAL":
        root["replication-key"] = "changed"
    properties = [
        {
            "breadcrumb": ["properties", column],
            "metadata": {"inclusion": "automatic" if column in ("id", "changed") else "available"},
        }
        for column in schema["properties"]
    ]
    metadata = [{"breadcrumb": [], "metadata": root}, *properties]
    return {"tap_stream_id": name, "stream": name, "schema": schema, "metadata": metadata}


def sync(folder: str, config: dict, stream: dict, metadata: dict, state: dict) -> None:
    name = stream["tap_stream_id"]
    write({"type": "SCHEMA", "stream": name, "schema": stream["schema"], "key_properties": stream["key_properties"]})
    with open(f"{folder}/{name}.jsonl", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    bookmark = state["bookmarks"].get(name, {}).get("changed")
    rows = [row for row in rows if bookmark is None or row["changed"] is None or row["changed"] >= bookmark]
    rows.sort(key=lambda row: (row["changed"] is not None, row["changed"]))
    for number, row in enumerate(rows, 1):
        selected = {
            column: value
            for column, value in row.items()
            if metadata.get(("properties", column), {"selected": True})["selected"] or config.get("ignores_selection")
        }
        write({"type": "RECORD", "stream": name, "record": selected})
        if row["changed"] is not None:
            state["bookmarks"][name] = {"changed": row["changed"]}
        if number % config.get("page", 3) == 0:
            write({"type": "STATE", "value": state})
        if number == config.get("dies_after"):
            sys.stdout.flush()
            os.kill(os.getpid(), 9)
    write({"type": "STATE", "value": state})


def write(message: dict) -> None:
    sys.stdout.write(json.dumps(message) + "\n")


if __name__ == "__main__":
    main()
