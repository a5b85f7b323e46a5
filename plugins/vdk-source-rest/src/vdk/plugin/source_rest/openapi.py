# SPDX-License-Identifier: Apache-2.0
"""OpenAPI (2 and 3): the configuration that reads the lists which a document describes, as text with comments.

What the document does not say is a comment: whether a parameter filters by a field, and what a token needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.contract.toml import toml_key, toml_value

_PATH_PARAM = re.compile(r"\{([^}]+)\}")
_MAX_REFS = 20
_LIST_NAMES = ("data", "items", "results", "records", "value", "values", "entries", "content", "rows")
_SIZES = ("per_page", "page_size", "pageSize", "perPage", "limit", "size", "count", "maxResults")
_TOKENS = {"cursor", "page_token", "pageToken", "after", "starting_after", "next_token", "nextToken", "marker"}
_NEXT = ("next_cursor", "nextCursor", "next_page_token", "nextPageToken", "next_token", "nextToken", "next", "after")
_SINCE = re.compile(r"since|(updated|modified|changed)_?(after|from|gte|since|at_min)", re.IGNORECASE)
_CHANGED = ("updated_at", "updatedAt", "modified_at", "modifiedAt", "updated", "modified", "last_modified")


@dataclass(slots=True)
class _List:
    """A path whose GET returns a list."""

    path: str
    name: str
    records: str | None
    item: Mapping[str, Any]
    envelope: Mapping[str, Any]
    query: dict[str, Mapping[str, Any]]
    lines: list[str] = field(default_factory=list)

    @property
    def key(self) -> str | None:
        return next((name for name in ("id", "uuid", "key") if name in _properties(self.item)), None)


def config_text(document: Mapping[str, Any], source_id: str) -> str:
    """The text of ``[sources.<id>.config]``.

    :raises ConfigurationError: for what is not an OpenAPI document, or has no path that returns a list.
    """
    paths = document.get("paths")
    if not isinstance(paths, Mapping) or not ({"openapi", "swagger"} & set(document)):
        raise ConfigurationError("it is not an OpenAPI document: it has no openapi (or swagger) and paths")
    api = _Api(document)
    lists = list(api.lists(paths))
    if not lists:
        raise ConfigurationError("no path of the document has a GET that returns a list of objects")
    table = f"sources.{toml_key(source_id)}.config"
    blocks = ["\n".join([f"[{table}]", *api.base_url(), *api.auth()])]
    by_path = {each.path: each for each in lists}
    for each in lists:
        lines = [f"[[{table}.streams]]", *_stream(each, by_path)]
        is_complete = not any(line.startswith("# It needs") for line in lines)
        blocks.append("\n".join(lines if is_complete else [line if line[0] == "#" else f"# {line}" for line in lines]))
    return "\n\n".join(blocks) + "\n"


class _Api:
    """A document, with its references followed."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def resolved(self, value: Any) -> Mapping[str, Any]:
        """An object, after its local references; an empty one for anything else."""
        for _ in range(_MAX_REFS):
            if not isinstance(value, Mapping):
                return {}
            reference = value.get("$ref")
            if not isinstance(reference, str):
                break
            value = self._document if reference.startswith("#/") else {}
            for step in reference.removeprefix("#/").split("/"):
                value = value.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(value, Mapping) else None
        if isinstance(value, Mapping) and isinstance(value.get("allOf"), list):
            parts = [self.resolved(part) for part in value["allOf"]]
            return {**value, "properties": {name: p for part in parts for name, p in _properties(part).items()}}
        return value if isinstance(value, Mapping) else {}

    def base_url(self) -> list[str]:
        servers = self._document.get("servers") or [{}]
        url = str(self.resolved(servers[0]).get("url", ""))
        if "host" in self._document:
            scheme = "https" if "https" in self._document.get("schemes", ["https"]) else "http"
            url = f"{scheme}://{self._document['host']}{self._document.get('basePath', '')}"
        for name, variable in self.resolved(self.resolved(servers[0]).get("variables")).items():
            url = url.replace(f"{{{name}}}", str(self.resolved(variable).get("default", name)))
        if url.startswith(("http://", "https://")):
            return [f"base_url = {toml_value(url)}"]
        return [
            f"base_url = {toml_value('https://api.example.com' + url)}",
            "# The document names no host: write the one of the API.",
        ]

    def auth(self) -> list[str]:
        components = self.resolved(self._document.get("components"))
        schemes = components.get("securitySchemes") or self._document.get("securityDefinitions") or {}
        lines = [line for scheme in self.resolved(schemes).values() for line in _auth(self.resolved(scheme))]
        first, *others = lines or ['# The document names no login; most APIs need one: auth = { type = "bearer", … }']
        return [first, *(line if line.startswith("#") else f"# or: {line}" for line in others)]

    def lists(self, paths: Mapping[str, Any]) -> Iterator[_List]:
        names: set[str] = set()
        for path, item in paths.items():
            operation = self.resolved(self.resolved(item).get("get"))
            schema = self._schema(operation)
            located = self._located(schema)
            if located is None:
                continue
            parts = [part for part in path.strip("/").split("/") if part and "{" not in part]
            name = "_".join(parts[-1:] or ["items"])
            name = name if name not in names else "_".join(parts)
            while name in names:
                name += "_2"
            names.add(name)
            parameters = [*self.resolved(item).get("parameters", []), *operation.get("parameters", [])]
            known = [self.resolved(parameter) for parameter in parameters]
            query = {str(each.get("name")): each for each in known if each.get("in") == "query"}
            yield _List(path, name, located[0], located[1], schema, query)

    def _schema(self, operation: Mapping[str, Any]) -> Mapping[str, Any]:
        responses = self.resolved(operation.get("responses"))
        response = self.resolved({str(status): value for status, value in responses.items()}.get("200"))
        content = self.resolved(response.get("content"))
        media = next((value for name, value in content.items() if "json" in name or name == "*/*"), None)
        return self.resolved(self.resolved(media).get("schema") or response.get("schema"))

    def _located(self, schema: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any]] | None:
        """Where the list is in a response, and what is in it."""
        if "items" in schema:
            item = self.resolved(schema["items"])
            return (None, item) if _properties(item) else None
        arrays = {}
        for name, value in _properties(schema).items():
            inner = self.resolved(value)
            if "items" in inner and _properties(item := self.resolved(inner["items"])):
                arrays[name] = item
        usual = [name for name in arrays if name in _LIST_NAMES]
        chosen = usual if usual else list(arrays) if _looks_paged(schema) else []
        return (chosen[0], arrays[chosen[0]]) if len(chosen) == 1 else None


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _looks_paged(schema: Mapping[str, Any]) -> bool:
    """Whether an object is around a list, and not a record with one: few fields, or those of pages."""
    names = set(_properties(schema))
    return len(names) <= 2 or bool(names & {"total", "count", "next", "meta", "links", "paging", "pagination", *_NEXT})


def _auth(scheme: Mapping[str, Any]) -> Iterator[str]:
    kind, name = str(scheme.get("type", "")), str(scheme.get("scheme", "")).lower()
    if kind == "http" and name == "bearer":
        yield 'auth = { type = "bearer", token = "${env:API_TOKEN}" }'
    elif kind == "basic" or (kind == "http" and name == "basic"):
        yield 'auth = { type = "basic", username = "${env:API_USER}", password = "${env:API_PASSWORD}" }'
    elif kind == "http" and name == "digest":
        yield 'auth = { type = "digest", username = "${env:API_USER}", password = "${env:API_PASSWORD}" }'
    elif kind == "apiKey":
        place = scheme.get("in", "header")
        key = toml_value(str(scheme.get("name", "X-API-Key")))
        yield f'auth = {{ type = "api_key", name = {key}, value = "${{env:API_KEY}}", in = {toml_value(place)} }}'
    elif kind == "oauth2":
        flows = scheme.get("flows", {})
        flow = flows.get("clientCredentials") or (scheme if scheme.get("flow") == "application" else None)
        url = str((flow or {}).get("tokenUrl", ""))
        if url.startswith("https://"):
            yield (
                f'auth = {{ type = "oauth2_client_credentials", token_url = {toml_value(url)}, client_id = '
                '"${env:API_CLIENT}", client_secret = "${env:API_SECRET}" }'
            )
        else:
            yield "# A login by OAuth 2 that a person begins: see oauth2_refresh_token in the documentation."
    elif kind:
        yield f"# A login of the type {kind!r}, which has no line here."


def _stream(each: _List, by_path: Mapping[str, _List]) -> Iterator[str]:
    yield f"name = {toml_value(each.name)}"
    path, parent, needs = _placed(each, by_path)
    if path != each.name:
        yield f"path = {toml_value(path)}"
    if each.records is not None:
        yield f"records = {toml_value(each.records)}"
    if each.key is not None:
        yield f"primary_key = {toml_value(each.key)}"
    else:
        yield '# The document names no key: primary_key = "..."'
    yield from _params(each)
    yield from _paginator(each)
    yield from _cursor(each)
    yield from parent
    yield from needs


def _placed(each: _List, by_path: Mapping[str, _List]) -> tuple[str, list[str], list[str]]:
    """The path with names of placeholders, the parent's line, and what the path needs that nothing here has."""
    names = _PATH_PARAM.findall(each.path)
    path = each.path.strip("/")
    for name in names:
        path = path.replace(f"{{{name}}}", f"{{{_placeholder(name)}}}")
    if not names:
        return path, [], []
    last = names[-1]
    parent = by_path.get(each.path.partition(f"/{{{last}}}")[0])
    if parent is None or parent is each:
        return path, [], [f'# It needs values: slices = [{{ {_placeholder(names[0])} = "..." }}]']
    own = last if last in _properties(parent.item) else parent.key
    if own is None or any(not _is_complete(parent.path, by_path) for _ in (0,)):
        return path, [], [f"# It needs the field of {parent.name!r} for {{{_placeholder(last)}}}: parent = {{ … }}"]
    binds = {_placeholder(last): own}
    for name in names[:-1]:  # of a grandparent, which the parent is read for
        ancestor = by_path[each.path.partition(f"/{{{name}}}")[0]]
        binds[_placeholder(name)] = f"{ancestor.name}:{name if name in _properties(ancestor.item) else ancestor.key}"
    bound = ", ".join(f"{name} = {toml_value(value)}" for name, value in binds.items())
    return path, [f"parent = {{ stream = {toml_value(parent.name)}, bind = {{ {bound} }} }}"], []


def _is_complete(path: str, by_path: Mapping[str, _List]) -> bool:
    """Whether all placeholders of a path have parents, and what they need is known."""
    if not _PATH_PARAM.search(path):
        return not _required(by_path[path])
    return bool(_placed(by_path[path], by_path)[1])


def _placeholder(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _required(each: _List) -> list[str]:
    return [name for name, known in each.query.items() if known.get("required") and _value(known) is None]


def _value(parameter: Mapping[str, Any]) -> Any:
    schema = parameter.get("schema", parameter)
    value = schema.get("default", parameter.get("example")) if isinstance(schema, Mapping) else None
    return value if isinstance(value, (str, int, float, bool)) else None


def _params(each: _List) -> Iterator[str]:
    needed = {name: _value(known) for name, known in each.query.items() if known.get("required")}
    known = {name: value for name, value in needed.items() if value is not None}
    if known:
        members = ", ".join(f"{toml_key(name)} = {toml_value(value)}" for name, value in known.items())
        yield f"params = {{ {members} }}"
    for name in _required(each):
        yield f'# It needs a parameter: params = {{ {toml_key(name)} = "..." }}'


def _paginator(each: _List) -> Iterator[str]:
    query, fields = set(each.query), _properties(each.envelope)
    size = next((name for name in _SIZES if name in query), None)
    sized = f", size_param = {toml_value(size)}, size = {_page_size(each, size)}" if size is not None else ""
    token = next((name for name in query if name in _TOKENS), None)
    next_field = next((name for name in _NEXT if name in fields), None)
    if token is not None and next_field is not None:
        yield f'paginator = {{ type = "cursor", param = {toml_value(token)}, path = {toml_value(next_field)}{sized} }}'
    elif "offset" in query and size is not None:
        yield f'paginator = {{ type = "offset", limit_param = {toml_value(size)}, limit = {_page_size(each, size)} }}'
    elif "page" in query:
        yield f'paginator = {{ type = "page"{sized} }}'
    else:
        yield "# Pages are found by what a response shows; name them if it shows nothing: paginator = { … }"


def _page_size(each: _List, name: str | None) -> int:
    schema = each.query[name or ""].get("schema", each.query[name or ""])
    largest = schema.get("maximum") if isinstance(schema, Mapping) else None
    return largest if isinstance(largest, int) and 0 < largest <= 1000 else 100


def _cursor(each: _List) -> Iterator[str]:
    changed = next((name for name in _CHANGED if name in _properties(each.item)), None)
    since = next((name for name in each.query if _SINCE.search(name)), None)
    if changed is not None:
        param = f", param = {toml_value(since)}" if since is not None else ""
        yield f"# Only what is new, if the API filters by it: cursor = {{ field = {toml_value(changed)}{param} }}"
