# SPDX-License-Identifier: Apache-2.0
"""The base class of the suite: the fixtures that a plugin defines, and the guard that no check is redefined."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, ClassVar

import pytest

from .capabilities import CAPABILITIES, Level, needed_by, validate
from .harness.cause import guard
from .harness.landing import Landing
from .harness.reading import MakeSource
from .levels import Checked, LevelReport

_SUITE = __name__.rpartition(".")[0]


class Conformance:
    """The root of the suite's classes. A class of a plugin inherits checks and defines the fixtures that they use.

    It may define the names in ``overridable``, and nothing else of the suite: nobody would notice that a redefined
    check is missing. ``xfails`` lists the checks that the source is known to fail, each with the reason; such a check
    fails as soon as it passes. ``capabilities`` selects checks: it leaves out those of any other capability; None: the
    class has all that it inherits.
    """

    overridable: ClassVar[tuple[str, ...]] = ("source", "expected", "xfails", "capabilities")
    xfails: ClassVar[Mapping[str, str]] = {}
    capabilities: ClassVar[Collection[str] | None] = None
    level: ClassVar[Level] = "draft"
    """The level that needs the checks of a class of the suite."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not _in_suite(cls):
            _refuse_redefinitions(cls)
            _select_checks(cls)
            _refuse_unknown_xfails(cls)

    @pytest.fixture
    def source(self) -> MakeSource:
        """A function that makes a new source each time, configured for a small set of known data."""
        pytest.fail(f"{type(self).__name__} must define the fixture `source`: a function that makes a source")

    @pytest.fixture
    def expected(self) -> Mapping[str, list[dict[str, Any]]] | None:
        """Optional: the rows of each stream, as they must land. None: unknown."""
        return None

    @pytest.fixture
    def landing(self) -> Iterator[Landing]:
        """A memory destination for one test."""
        with Landing.fresh() as landing:
            yield landing

    @pytest.fixture(autouse=True)
    def _known_failure(self, request: pytest.FixtureRequest) -> None:
        if request.function.__name__ not in checks_of(type(self)):
            return  # a test of the plugin's own
        checked = Checked(type(self).__name__, levels_of(type(self)), self.capabilities)
        LevelReport.of(request.config).begin(request, checked)
        if request.node.get_closest_marker("xfail") is not None:
            # An error would count as the expected failure, so the whole session is ended.
            request.session.shouldfail = (
                f"{request.node.nodeid}: a check cannot be marked xfail; write in the class: "
                f'xfails = {{{request.function.__name__!r}: "the reason"}}'
            )
        elif reason := self.xfails.get(request.function.__name__):
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
        else:
            guard(request)


def checks_of(cls: type[Conformance]) -> dict[str, Callable[..., None]]:
    """The checks that a class inherits from the suite and selects, by name."""
    return {name: check for name, (check, owner) in _inherited(cls).items() if _selects(cls, check, owner)}


def levels_of(cls: type[Conformance]) -> dict[str, Level]:
    """The level that each check of a class belongs to."""
    return {
        name: getattr(check, "level", owner.level)
        for name, (check, owner) in _inherited(cls).items()
        if _selects(cls, check, owner)
    }


def _inherited(cls: type[Conformance]) -> dict[str, tuple[Callable[..., None], type[Conformance]]]:
    """The checks of the suite in a class, with the classes that define them."""
    return {
        name: (value, base)
        for base in reversed(cls.__mro__)
        if _in_suite(base) and issubclass(base, Conformance)
        for name, value in vars(base).items()
        if name.startswith("test_")
    }


def _selects(cls: type[Conformance], check: Callable[..., None], owner: type[Conformance]) -> bool:
    needed = needed_by(check, owner)
    return needed is None or cls.capabilities is None or needed in cls.capabilities


class _NotSelected:
    """Stands for a check that a class does not select: pytest calls nothing but functions."""


NOT_SELECTED = _NotSelected()


def _select_checks(cls: type[Conformance]) -> None:
    """Take the checks out of a class whose capability it does not declare."""
    if cls.capabilities is None:
        if getattr(cls, "declares_capabilities", False):
            meanings = "; ".join(f"{name!r}: {each.meaning}" for name, each in CAPABILITIES.items())
            raise TypeError(f"{cls.__qualname__} must declare what its source can do: capabilities = {{…}}; {meanings}")
        return
    validate(cls, cls.capabilities, lambda name: any(name in vars(base) for base in cls.__mro__ if not _in_suite(base)))
    inherited = _inherited(cls)
    for name, (check, owner) in inherited.items():
        if not _selects(cls, check, owner):
            setattr(cls, name, NOT_SELECTED)
        elif getattr(cls, name) is NOT_SELECTED:
            setattr(cls, name, check)
    checked = {needed_by(check, owner) for check, owner in inherited.values()}
    if unchecked := sorted(set(cls.capabilities) - checked):
        raise TypeError(
            f"{cls.__qualname__}.capabilities has {unchecked[0]!r}, whose checks the class does not inherit: derive it "
            "from SourceConformance, which has all checks"
        )


def _in_suite(cls: type) -> bool:
    return cls.__module__.startswith(f"{_SUITE}.")


def _refuse_redefinitions(cls: type[Conformance]) -> None:
    suite = [base for base in cls.__mro__ if _in_suite(base)]
    names = {name for base in suite for name in vars(base) if not name.startswith("__")}
    overridable = {name for base in suite for name in vars(base).get("overridable", ())}
    for name in sorted(names - overridable):
        owner = next(base for base in cls.__mro__ if name in vars(base))
        if not _in_suite(owner) and not _is_selection(cls, name, vars(owner)[name]):
            kind = "a check" if name.startswith("test_") else "a part"
            raise TypeError(
                f"{owner.__qualname__} redefines {name}, {kind} of the conformance suite: use another name, or for a "
                f'check that the source is known to fail, xfails = {{{name!r}: "the reason"}}'
            )


def _suite_with(cls: type, name: str) -> list[type]:
    return [base for base in cls.__mro__ if _in_suite(base) and name in vars(base)]


def _is_selection(cls: type[Conformance], name: str, value: object) -> bool:
    """Whether a base class of a plugin has this value because of its capabilities."""
    return value is NOT_SELECTED or any(value is vars(base)[name] for base in _suite_with(cls, name))


def _refuse_unknown_xfails(cls: type[Conformance]) -> None:
    checks = checks_of(cls)
    for name, reason in cls.xfails.items():
        if name not in checks:
            raise TypeError(f"{cls.__qualname__}.xfails names {name!r}, which is not a check of this class: delete it")
        if not isinstance(reason, str) or not reason.strip():
            raise TypeError(f"{cls.__qualname__}.xfails[{name!r}] is {reason!r}, expected the reason as a text")


def reason_of(check: Callable[..., None]) -> str:
    """Why a check exists: its docstring."""
    return inspect.getdoc(check) or ""
