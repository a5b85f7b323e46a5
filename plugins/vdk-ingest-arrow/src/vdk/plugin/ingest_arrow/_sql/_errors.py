"""What is said of files, and of other people's constraints, whichever database it is."""

from __future__ import annotations

from pathlib import Path

from vdk.plugin.datasource_base.contract import ConfigurationError, DestinationError


def first_bytes(path: Path, count: int, database: str) -> bytes | None:
    """How a database's file begins; None where there is no file yet.

    :raises ConfigurationError: there is no such folder, or it is a folder itself.
    :raises DestinationError: it may not be read.
    """
    try:
        if not path.parent.is_dir():
            raise ConfigurationError(f"the folder of {path} does not exist: make it, or correct the target")
        if path.is_dir():
            raise ConfigurationError(f"{path} is a folder: the target names a file, of {database}")
        with path.open("rb") as file:
            return file.read(count)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DestinationError(f"{path} cannot be read: {error.strerror or error}") from error


def forbidden(path: Path, text: str) -> DestinationError:
    """The error of a file, or a folder, that is read-only or another user's; trying again would not change it."""
    return DestinationError(
        f"{path} may not be written by this user: the database writes the file and, for its journal, the folder. Grant "
        f"both, or name another file: {text}"
    )


def something_else(path: Path, problem: str) -> ConfigurationError:
    """The error of a file that is no database."""
    return ConfigurationError(f"{path} {problem}: name another file, or remove this one; it was left as it is")


def constrained(where: str, text: str) -> DestinationError:
    """The error of a constraint; none is made here but that of the states."""
    return DestinationError(
        f"{where}: a constraint or unique index that is not vdk-ingest-arrow's refuses the rows: {text}. "
        "Drop it, or have the rows fit it"
    )
