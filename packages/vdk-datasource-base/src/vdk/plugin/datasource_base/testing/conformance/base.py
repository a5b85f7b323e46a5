"""What all parts of the suite share: the fixtures a plugin gives, and the guard over the checks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import pytest

from .harness.cause import guard
from .harness.landing import Landing
from .harness.reading import MakeSource

_HERE = __name__.rpartition(".")[0]


class Conformance:
    """The root of the suite's classes. A plugin's class inherits checks and gives what they read.

    It may redefine what ``yours`` names, and nothing else of the suite: a check that is redefined is one
    that nobody sees is gone. A check that a source is known to fail is said in ``xfails``, with the reason;
    it fails the day it passes.
    """

    yours: ClassVar[tuple[str, ...]] = ("source", "expected", "xfails")
    xfails: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not _is_ours(cls):
            _refuse_redefinitions(cls)
            _refuse_unknown_xfails(cls)

    @pytest.fixture
    def source(self) -> MakeSource:
        """A function that gives a new, configured source each time, over a small set of known data."""
        pytest.fail(f"{type(self).__name__} must define the fixture `source`: it returns what makes a source")

    @pytest.fixture
    def expected(self) -> Mapping[str, list[dict[str, Any]]] | None:
        """Optional: the rows of each stream, as they have to land. None: not known."""
        return None

    @pytest.fixture
    def landing(self) -> Iterator[Landing]:
        """A destination in memory, for one test."""
        with Landing.fresh() as landing:
            yield landing

    @pytest.fixture(autouse=True)
    def _known_failure(self, request: pytest.FixtureRequest) -> None:
        if request.function.__name__ not in checks_of(type(self)):
            return  # a test of the plugin's own
        if request.node.get_closest_marker("xfail") is not None:
            # an error here would be taken for the failure that is expected, so the whole session is ended
            request.session.shouldfail = (
                f"{request.node.nodeid}: a check is not marked xfail; say xfails = {{{request.function.__name__!r}: "
                '"why"} in the class'
            )
        elif reason := self.xfails.get(request.function.__name__):
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
        else:
            guard(request)


def checks_of(cls: type[Conformance]) -> dict[str, Callable[..., None]]:
    """The checks that a class inherits from the suite, by name."""
    return {
        name: value
        for base in reversed(cls.__mro__)
        if _is_ours(base)
        for name, value in vars(base).items()
        if name.startswith("test_")
    }


def _is_ours(cls: type) -> bool:
    return cls.__module__.startswith(f"{_HERE}.")


def _refuse_redefinitions(cls: type[Conformance]) -> None:
    ours = [base for base in cls.__mro__ if _is_ours(base)]
    names = {name for base in ours for name in vars(base) if not name.startswith("__")}
    for name in sorted(names - {one for base in ours for one in vars(base).get("yours", ())}):
        owner = next(base for base in cls.__mro__ if name in vars(base))
        if not _is_ours(owner):
            what = "a check" if name.startswith("test_") else "a part"
            raise TypeError(
                f"{owner.__qualname__} redefines {name}, {what} of the conformance suite; a check that the source is "
                f'known to fail is said so: xfails = {{{name!r}: "the reason"}}'
            )


def _refuse_unknown_xfails(cls: type[Conformance]) -> None:
    checks = checks_of(cls)
    for name, reason in cls.xfails.items():
        if name not in checks:
            raise TypeError(f"{cls.__qualname__}.xfails names {name!r}, which is no check of this class")
        if not isinstance(reason, str) or not reason.strip():
            raise TypeError(f"{cls.__qualname__}.xfails[{name!r}] must give the reason, in words")


def described(check: Callable[..., None]) -> str:
    """The reason of a check: its docstring."""
    return inspect.getdoc(check) or ""
