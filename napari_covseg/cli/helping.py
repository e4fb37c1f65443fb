"""What the help shows of an option that takes no value: its name alone."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class Verb(TyperCommand):
    """One verb, with its options."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return what it takes."""
        return _switches_bare(super().get_params(ctx))


class Verbs(TyperGroup):
    """All verbs, and the options that go before them."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return what stands before a verb."""
        return _switches_bare(super().get_params(ctx))


def _switches_bare(options: list[Any]) -> list[Any]:
    """Give every switch an empty value to show, in whose place typer writes ``<bool>``."""
    for option in options:
        if getattr(option, "is_flag", False):
            option.metavar = ""
    return options
