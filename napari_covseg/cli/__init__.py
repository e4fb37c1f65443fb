"""The command line: one file per verb, the same core as the window, and no window."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated

import typer

from napari_covseg.cli.console import say
from napari_covseg.cli.verb import app

VERBS = (
    *("demo", "networks", "info", "segment", "measure", "evaluate", "train", "pack", "finetune", "export", "review"),
    *("overrule", "log"),
)
"""One module each, in the order of the help."""

for _verb in VERBS:
    import_module(f"{__name__}.{_verb}")

TAKE_MANY = ("--cases", "--session")
"""Options that may be followed by several folders."""

WrongUse = typer.BadParameter.__mro__[1]  # typer has no public name for what it raises at a wrong option


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 where the work was done, 1 where it failed, 2 for wrong use, 130 if stopped."""
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors in ("strict", "surrogateescape"):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: a name or sign that it cannot write is no error
    words = spread(sys.argv[1:] if arguments is None else arguments)
    try:
        status = app(words or ["--help"], prog_name="covseg", standalone_mode=False)
    except Exception as error:
        if not isinstance(error, WrongUse):
            raise
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "covseg"
        say(f"{error.format_message().rstrip('.')}. See '{path} --help'.")  # type: ignore[attr-defined]
        return 2
    return int(status or 0)


def spread(words: Sequence[str]) -> list[str]:
    """Return the words with ``--cases A B`` written as ``--cases A --cases B``, and ``--session`` likewise."""
    result: list[str] = []
    option = ""
    for word in words:
        if word.startswith("-"):
            option = word if word in TAKE_MANY else ""
        elif option and result[-1] != option:
            result.append(option)
        result.append(word)
    return result


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("napari-covseg"))
        raise typer.Exit


@app.callback()
def _covseg(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """COVID-19 chest CT: segment, measure, train, and review in napari. For research, not for diagnosis."""
