"""What ``cases.json`` says of the cases in a folder; what looks like a slip of the pen is refused.

A slip here is not harmless: a case whose entry is not understood would count as annotated for every class, and would
teach that there is none where nobody looked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, StrictInt, TypeAdapter, ValidationError

from napari_covseg.io.sentences import count
from napari_covseg.volume import LESIONS, LUNGS

FILE_NAME = "cases.json"
CLASSES = (*LESIONS.names, *LUNGS.names)
"""What ``annotated`` may name."""

LOOKED_FOR = ("ggo", "consolidation", "effusion")
"""What is taken to be annotated where nothing else is said."""

BUNDLED = re.compile(r"case-[0-9a-f]{16}")
"""What a bundle calls its cases; their labels hold nothing where nobody reviewed, so that the slices must be named."""

MOST_NAMED = 3
"""So many of the cases or files that are left out, or unknown, are named."""

MOST_SHOWN = 40
_MEANT = {
    "annotated": f"a list of classes ({', '.join(CLASSES)})",
    "patient": "a name in quotes",
    "slices": "a list of slice numbers",
    "session_sha256": "a checksum in quotes",
    "proposed_by": "a list of {network, checkpoint_sha256}",
    "marks": "a list of {slice, reader, time_utc}",
}


def require_slices(folder: Path, name: str, entry: CaseEntry) -> None:
    """Refuse a bundle's case of which nothing says what was reviewed: all else in it would teach that it is healthy.

    Raises
    ------
    ValueError
        If it is so.
    """
    if BUNDLED.fullmatch(name) and entry.slices is None:
        raise ValueError(
            f"{folder / FILE_NAME} does not say which slices of {name} were reviewed, and its labels know no others; "
            "keep every bundle in the folder that it was written into."
        )


def _is_class(name: str) -> str:
    if name not in CLASSES:
        raise ValueError(name)
    return name


class ProposedBy(BaseModel):
    """A checkpoint that drew on slices before they were reviewed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str
    checkpoint_sha256: str


class Marked(BaseModel):
    """A slice that was marked reviewed, by whom, as a hash, and when."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slice: StrictInt
    reader: str
    time_utc: str


class CaseEntry(BaseModel):
    """What is said of a case.

    ``session_sha256`` is of the review session that a bundle has it from; ``proposed_by`` and ``marks`` tell its
    lineage.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    annotated: tuple[Annotated[str, AfterValidator(_is_class)], ...] = LOOKED_FOR
    patient: str | None = None
    slices: tuple[StrictInt, ...] | None = None
    session_sha256: str | None = None
    proposed_by: tuple[ProposedBy, ...] = ()
    marks: tuple[Marked, ...] = ()


def read_listing(path: Path) -> dict[str, Any]:
    """Return a JSON object as it is written; an empty one where there is no file.

    Raises
    ------
    ValueError
        If it is no JSON object in UTF-8, or says one thing twice.
    """
    if not path.exists():
        return {}
    try:
        listing = json.loads(path.read_text("utf-8-sig"), object_pairs_hook=_each_once)
    except UnicodeDecodeError as error:
        raise _unclear(path, "it is no text in UTF-8") from error
    except json.JSONDecodeError as error:
        raise _unclear(path, f"it is no JSON ({error})") from error
    except (ValueError, RecursionError) as error:
        raise _unclear(path, str(error)) from error
    if not isinstance(listing, dict):
        raise _unclear(path, f"it must be {{case: …}}, not {_shown(listing)}")
    return listing


def case_entries(folder: Path) -> dict[str, CaseEntry]:
    """Return what the ``cases.json`` of a folder says, by case or glob, in its order.

    Raises
    ------
    ValueError
        If it cannot be understood, down to every key and class.
    """
    path = folder / FILE_NAME
    listing = read_listing(path)
    try:
        return TypeAdapter(dict[str, CaseEntry]).validate_python(listing)
    except ValidationError as error:
        raise _unclear(path, _slip(*error.errors()[0]["loc"][:2], found=error.errors()[0]["input"])) from error


def entry_of(name: str, entries: Mapping[str, CaseEntry]) -> CaseEntry:
    """Return what is said of a case: under its name, else under the first glob that it matches, else by default."""
    if name in entries:
        return entries[name]
    return next((entry for pattern, entry in entries.items() if fnmatchcase(name, pattern)), CaseEntry())


def assumed(folder: Path, names: Collection[str], entries: Collection[str]) -> Iterator[str]:
    """Tell what is assumed of the cases of which a listing says nothing, in a sentence, if there are any."""
    if not (unlisted := _unlisted(names, entries)):
        return
    classes = f"{', '.join(LOOKED_FOR[:-1])} and {LOOKED_FOR[-1]}"
    patient = f"as those of one patient, {folder.resolve().name}"
    if (folder / FILE_NAME).exists():
        listed = ", ".join(unlisted[:MOST_NAMED]) + (" …" if len(unlisted) > MOST_NAMED else "")
        which = f"{FILE_NAME} in {folder} says nothing of {count(len(unlisted), 'case')} ({listed})"
        yield f"{which}: taken as annotated for {classes}, and {patient}."
    else:
        yield f"There is no {FILE_NAME} in {folder}: every case is taken as annotated for {classes}, and all {patient}."


def require_names(folder: Path, names: Collection[str], entries: Collection[str]) -> None:
    """Refuse a listing with an entry for no case beside a case without entry: one is probably meant for the other.

    Raises
    ------
    ValueError
        If it is so.
    """
    idle = [entry for entry in entries if not any(name == entry or fnmatchcase(name, entry) for name in names)]
    unlisted = _unlisted(names, entries)
    if idle and unlisted:
        raise ValueError(
            f"{folder / FILE_NAME} has an entry {_shown(idle[0])}, as no case is called, and none for {unlisted[0]}; "
            "correct its name, or add the entry that is missing."
        )


def _unlisted(names: Collection[str], entries: Collection[str]) -> list[str]:
    """Return those of some cases of which a listing says nothing, in order."""
    return sorted(name for name in names if not any(name == each or fnmatchcase(name, each) for each in entries))


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = [name for name in names if names.count(name) > 1] if len(set(names)) < len(names) else []
    if twice:
        raise ValueError(f"it says {_shown(twice[0])} twice")
    return dict(pairs)


def _slip(case: int | str, key: int | str | None = None, *, found: Any) -> str:
    if key is None:
        return f"{_shown(case)} must be {{key: …}}, not {_shown(found)}"
    if key not in _MEANT:
        return f"{_shown(case)} has the key {_shown(key)}, which is none of {', '.join(_MEANT)}"
    return f"{_shown(key)} of {_shown(case)} holds {_shown(found)}; it must be {_MEANT[str(key)]}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _unclear(path: Path, why: str) -> ValueError:
    return ValueError(f"{path} cannot be understood: {why}; correct it.")
