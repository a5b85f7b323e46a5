"""What somebody new to flow files types wrong: each with what the command prints, word by word."""

from __future__ import annotations

from dataclasses import dataclass

GOOD = """
[sources.src]
name = "numbers"
config = { upto = 5 }

[destinations.lake]
method = "kept"
target = "here"

[[flows]]
from = "src"
to = "lake"
streams = ["numbers"]
"""


@dataclass(frozen=True)
class Wrong:
    """A mistake in the flow file or on the command line.

    :param change: ``"old -> new"`` in the good flow file; the whole file where there is no arrow.
    :param command: after ``vdk datasource``.
    """

    name: str
    change: str | bytes = GOOD
    command: tuple[str, ...] = ("run", "t.toml")

    @property
    def content(self) -> bytes:
        if isinstance(self.change, bytes):
            return self.change
        old, arrow, new = self.change.partition(" -> ")
        assert not arrow or old in GOOD
        return (GOOD.replace(old, new) if arrow else self.change).encode()


WRONG = [
    Wrong("[source.src]", "[sources.src] -> [source.src]"),
    Wrong("[destination.lake]", "[destinations.lake] -> [destination.lake]"),
    Wrong("[flows]", "[[flows]] -> [flows]"),
    Wrong("[[flow]]", "[[flows]] -> [[flow]]"),
    Wrong("[flow]", "[[flows]] -> [flow]"),
    Wrong("[[sources.src]]", "[sources.src] -> [[sources.src]]"),
    Wrong("[sources]", "[sources.src] -> [sources]"),
    Wrong("[destinations]", "[destinations.lake] -> [destinations]"),
    Wrong("an unknown table", "[[flows]] -> [settings]\nx = 1\n[[flows]]"),
    Wrong("a misspelt option of a source entry", "name = -> nmae ="),
    Wrong("an unknown source", '"numbers"\nconfig -> "nubmers"\nconfig'),
    Wrong("a source without name", 'name = "numbers"\n -> '),
    Wrong("a source's option outside config", "config = { upto = 5 } -> upto = 5"),
    Wrong("a source's option misspelt", "upto -> upot"),
    Wrong("a number in quotes", "upto = 5 -> upto = '5'"),
    Wrong("a number that is not one", "upto = 5 -> upto = 'five'"),
    Wrong("a text without quotes", "upto = 5 -> fail = 5"),
    Wrong("config as text", "{ upto = 5 } -> 'upto = 5'"),
    Wrong("a secret that is a number", "upto = 5 -> password = 1234"),
    Wrong("method misspelt", "method -> metod"),
    Wrong("an unknown method", '"kept" -> "ketp"'),
    Wrong("no method", 'method = "kept"\n -> '),
    Wrong("from misspelt", "from = -> form ="),
    Wrong("source instead of from", "from = -> source ="),
    Wrong("target instead of to", "to = -> target ="),
    Wrong("no to", 'to = "lake"\n -> '),
    Wrong("an unknown source of a flow", 'from = "src" -> from = "scr"'),
    Wrong("an unknown destination of a flow", 'to = "lake" -> to = "like"'),
    Wrong("streams as text", '["numbers"] -> "numbers"'),
    Wrong("stream", 'streams = ["numbers"] -> stream = "numbers"'),
    Wrong("a glob that matches nothing", '["numbers"] -> ["numbesr"]'),
    Wrong("an exclusion that matches nothing", '["numbers"] -> ["!audit_*"]'),
    Wrong("write_mode misspelt", 'streams = ["numbers"] -> write_mode = "apend"'),
    Wrong("a word of another tool", 'streams = ["numbers"] -> write_mode = "overwrite"'),
    Wrong("mode", 'streams = ["numbers"] -> mode = "append"'),
    Wrong("batch_rows in quotes", 'streams = ["numbers"] -> batch_rows = "500"'),
    Wrong("batch_rows 0", 'streams = ["numbers"] -> batch_rows = 0'),
    Wrong("a duration without unit", 'streams = ["numbers"] -> retry_for = 30'),
    Wrong("a duration in words", 'streams = ["numbers"] -> retry_for = "5 minutes"'),
    Wrong("max_rejected in words", 'streams = ["numbers"] -> max_rejected = "many"'),
    Wrong("a template of something else", 'streams = ["numbers"] -> destination_table = "{name}"'),
    Wrong("metadata_columns as text", 'streams = ["numbers"] -> metadata_columns = "run_id"'),
    Wrong("an empty file", ""),
    Wrong("a file of comments", "# nothing yet\n"),
    Wrong("no sources", '[destinations.lake]\nmethod = "kept"\n[[flows]]\nfrom = "src"\nto = "lake"\n'),
    Wrong("no flows", '[sources.src]\nname = "numbers"\n[destinations.lake]\nmethod = "kept"\n'),
    Wrong("an empty list of flows", 'flows = []\n[sources.src]\nname = "numbers"\n[destinations.lake]\n'),
    Wrong("text without quotes", 'name = "numbers" -> name = numbers'),
    Wrong("Python's True", "[[flows]]\n -> [[flows]]\nx = True\n"),
    Wrong("a bracket that is not closed", "[sources.src] -> [sources.src"),
    Wrong("an option twice", "[[flows]]\n -> [[flows]]\nto = 'a'\n"),
    Wrong("YAML", "sources:\n  shop:\n    name: numbers\n"),
    Wrong("not UTF-8", GOOD.replace("here", "caf\xe9").encode("latin-1")),
    Wrong("a variable that is not set", '{ upto = 5 } -> { upto = "${env:NOT_SET}" }'),
    Wrong("a variable with a space", '{ upto = 5 } -> { upto = "${env: UPTO}" }'),
    Wrong("a reference of another kind", '{ upto = 5 } -> { upto = "${evn:UPTO}" }'),
    Wrong("a variable as in a shell", '{ upto = 5 } -> { url = "${UPTO}" }'),
    Wrong("a reference in capitals", '{ upto = 5 } -> { url = "${ENV:UPTO}" }'),
    Wrong("JSON", '{"sources": {}}'),
    Wrong("a secret that the job has not", '{ upto = 5 } -> { password = "${secret:key}" }'),
    Wrong("no file", command=("run",)),
    Wrong("a file that does not exist", command=("run", "tt.toml")),
    Wrong("a folder", command=("check", ".")),
    Wrong("a file too many", command=("run", "t.toml", "u.toml")),
    Wrong("an option misspelt", command=("run", "t.toml", "--sumary", "x")),
    Wrong("a command misspelt", command=("chek", "t.toml")),
    Wrong("a format that there is not", command=("list", "-o", "yaml")),
    Wrong("a stream that there is not", command=("preview", "t.toml", "nubmers")),
    Wrong("no stream", command=("preview", "t.toml")),
    Wrong("a flow that there is not", command=("preview", "t.toml", "numbers", "--number", "4")),
    Wrong("no rows", command=("preview", "t.toml", "numbers", "--rows", "0")),
    Wrong("a timeout without unit", command=("check", "t.toml", "--timeout", "5")),
    Wrong("a discovery of a misspelt stream", '["numbers"] -> ["nubmers"]', command=("discover", "t.toml")),
    Wrong("a flow file in place of CloudQuery's", command=("sync", "t.toml")),
    Wrong("states that are not text", b"\xff", command=("state", "import", "t.toml", "t.toml")),
    Wrong("a state that there is not", command=("state", "show", "t.toml", "--stream", "nubmers")),
    Wrong("config of an unknown source", command=("config", "nubmers")),
    Wrong("a name that no package can have", command=("new", "My Crm!")),
    Wrong("a name that is taken", command=("new", "numbers")),
    Wrong("a folder that is not there", command=("new", "crm", "--into", "nowhere")),
    Wrong("a summary in a place for nobody", command=("run", "t.toml", "--summary", "t.toml/summary.json")),
    Wrong("a report in a folder that is not there", command=("run", "t.toml", "--report", "nowhere/x.html")),
    Wrong("the flow file as the report", command=("run", "t.toml", "--report", "t.toml")),
    Wrong("the flow file as the summary", command=("run", "t.toml", "--summary", "t.toml")),
    Wrong("options that exclude each other", command=("run", "t.toml", "--full-refresh", "--since", "1")),
    Wrong("a stream of a run that there is not", command=("run", "t.toml", "--stream", "nubmers")),
    Wrong("a range of a stream without a cursor", command=("run", "t.toml", "--since", "yesterday")),
    Wrong("an environment that there is not", command=("run", "t.toml", "--env", "prod")),
    Wrong("a list without its number", command=("run", "t.toml", "--set", "flows[0]=1")),
    Wrong("a flow behind the last", command=("run", "t.toml", "--set", "flows[1].batch_rows=5")),
    Wrong("a run that there is not", command=("undo", "t.toml", "abcd")),
    Wrong("a copy from a URL with two @", command=("copy", "acme://u:secret@x@h/d", "duckdb:///x")),
]
