"""A connection that hands out pages of raw rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._dialect import Dialect
    from ._expression import Select

Row = tuple[Any, ...]


class Session:
    """One connection, used by one thread at a time, closed at the end of the ``with`` block.

    Statements are executed by the driver's own cursor: values go in and come out exactly as the database
    stores them.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.connection = dialect.connect()
        self._held = False

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()

    def begin(self) -> None:
        """Hold a snapshot from the next statement on; nothing if one is held already."""
        if not self._held:
            with self._translated():
                self.connection.cursor().execute("BEGIN")
            self._held = True

    def end(self) -> None:
        """Let go of the snapshot, so that writers are not held up."""
        if self._held:
            self._held = False
            self.connection.rollback()

    def all(self, statement: Select) -> list[Row]:
        return [row for page in self.stream(statement, lambda: 10_000, release=False) for row in page]

    def one(self, statement: Select) -> Row:
        """The first row. Raises ``IndexError`` where there is none."""
        return self.all(statement)[0]

    def stream(self, statement: Select, size: Callable[[], int], *, release: bool = True) -> Iterator[list[Row]]:
        """Pages of at most ``size()`` rows, none empty; the last is shorter, unless the rows end with a full one.

        ``release``: the snapshot is let go as soon as the last row is here, before it is handed out.
        A read that was interrupted by a tolerated value is repeated up to the same row, which needs
        the snapshot to be held: see ``begin``.
        """
        sql, parameters = statement.compiled()
        done = 0
        while True:
            cursor = self.connection.cursor()
            try:
                with self._translated():
                    cursor.execute(sql, parameters)
                    self._skip(cursor, done)
                while rows := self._fetch(cursor, wanted := size()):
                    done += len(rows)
                    if last := len(rows) < wanted:
                        self._finish(cursor, release)
                    yield rows
                    if last:
                        return
                self._finish(cursor, release)
                return
            except Exception as error:
                if not self.dialect.tolerate(self, _origin(error)):
                    raise
            finally:
                cursor.close()

    def _fetch(self, cursor: Any, size: int) -> list[Row]:
        with self._translated():
            rows: list[Row] = cursor.fetchmany(size)
            return rows

    def _finish(self, cursor: Any, release: bool) -> None:
        cursor.close()
        if release:
            self.end()

    def _skip(self, cursor: Any, count: int) -> None:
        while count > 0 and (rows := cursor.fetchmany(min(count, 10_000))):
            count -= len(rows)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if (ours := self.dialect.translate(error)) is None:
                raise
            raise ours from error


def _origin(error: Exception) -> Exception:
    """The driver's error behind one of ours."""
    return error.__cause__ if isinstance(error.__cause__, Exception) else error
