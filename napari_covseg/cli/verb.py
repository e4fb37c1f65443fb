"""What every verb has in common: ``--json``, ``--debug``, an example, one answer, one sentence when it fails."""

from __future__ import annotations

import inspect
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial, wraps
from typing import Annotated, Any

import typer

from napari_covseg.cli.console import say, show, speaks
from napari_covseg.cli.helping import Verb, Verbs
from napari_covseg.cli.options import ANSWERS
from napari_covseg.io import UnstatedError
from napari_covseg.io.sentences import sentence_of
from napari_covseg.jobs import LeftError

MORE = "--debug shows where."
ANEW = "the same command without --resume"
GOES_ON = "the same command with --resume goes on"
STOPPED = "Stopped; what was finished is kept, and no file was left half-written."

app = typer.Typer(
    name="covseg",
    cls=Verbs,
    help="COVID-19 chest CT: segment, measure, train, and review in napari. For research, not for diagnosis.",
    epilog="Example: covseg segment scan.nii.gz --network res_att_unet",
    add_completion=False,
    pretty_exceptions_enable=False,
)

_debugging: ContextVar[bool] = ContextVar("debugging", default=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; all else goes to stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="When it fails, also print the traceback.")]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a verb found.

    Parameters
    ----------
    values
        For programs: what ``--json`` prints.
    shown
        For people: a text or a rich table.
    done
        Whether all that was asked for was done; the exit code.
    """

    values: Mapping[str, Any]
    shown: Any = ""
    done: bool = True


def verb(example: str) -> Callable[[Callable[..., Answer]], Callable[..., None]]:
    """Return the decorator that makes a function a verb of ``covseg``, with an example below its help."""

    def registered(work: Callable[..., Answer]) -> Callable[..., None]:
        @wraps(work)
        def command(*, as_json: bool, debug: bool, **given: Any) -> None:
            _carry_out(partial(work, **given), as_json, debug)

        command.__signature__ = _with_common_options(work)  # type: ignore[attr-defined]
        app.command(cls=Verb, epilog=f"Example: {example}")(command)
        return command

    return registered


def gave_up(error: Exception) -> str:
    """Tell why one thing of several was not done, with ``--debug`` the traceback too, and return the sentence."""
    sentence = _told(error)
    if _debugging.get():
        traceback.print_exception(error, file=sys.stderr)
    say(sentence)
    return sentence


def _told(error: Exception) -> str:
    """Return an error as one sentence, with the options that answer what a scan does not say, or that remedy it."""
    sentence = sentence_of(error, MORE)
    if isinstance(error, LeftError):
        return f"{sentence.removesuffix('.')} ({ANEW})."
    if not isinstance(error, UnstatedError):
        return sentence
    return f"{sentence.removesuffix('.')} ({' '.join(ANSWERS[question] for question in error.questions)})."


def _with_common_options(work: Callable[..., Answer]) -> inspect.Signature:
    signature = inspect.signature(work, eval_str=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    common = [
        inspect.Parameter("as_json", keyword, default=False, annotation=AsJson),
        inspect.Parameter("debug", keyword, default=False, annotation=Debug),
    ]
    return signature.replace(parameters=[*signature.parameters.values(), *common], return_annotation=None)


def _carry_out(work: Callable[[], Answer], as_json: bool, debug: bool) -> None:
    """Do a verb's work and print its answer; whatever else is printed meanwhile goes to stderr."""
    _debugging.set(debug)
    try:
        with redirect_stdout(sys.stderr):
            answer = work()
        _print(answer, as_json)
    except KeyboardInterrupt:
        raise _failure(STOPPED, as_json, 130) from None
    except (typer.BadParameter, BrokenPipeError):  # who closed the pipe does not listen
        raise
    except Exception as error:  # noqa: BLE001 - the only wall a verb can hit
        if debug:
            traceback.print_exc(file=sys.stderr)
        raise _failure(_told(error), as_json, 1) from None
    if not answer.done:
        raise typer.Exit(1)


def _print(answer: Answer, as_json: bool) -> None:
    if not speaks():
        return
    if as_json:
        typer.echo(json.dumps(answer.values, indent=2))
    elif answer.shown:
        show(answer.shown)


def _failure(sentence: str, as_json: bool, status: int) -> typer.Exit:
    say(sentence)
    if as_json:
        typer.echo(json.dumps({"error": sentence}))
    return typer.Exit(status)
