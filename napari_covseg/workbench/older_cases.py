"""Annotated cases of before, which a child that is taught must not forget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_covseg.io import sample_scan
from napari_covseg.io.cases import find_cases


@dataclass(frozen=True, slots=True)
class OlderCases:
    """What a folder or a pack of cases holds.

    Parameters
    ----------
    place
        The folder, or the pack.
    names
        Of the cases, in order.
    patients
        Of how many patients they are.
    remarks
        What was left out, each in one sentence.
    """

    place: Path
    names: tuple[str, ...]
    patients: int
    remarks: tuple[str, ...] = ()


def older_cases(place: Path) -> OlderCases:
    """Look into a folder or a pack of cases.

    Raises
    ------
    ValueError
        If it holds none, or cannot be understood.
    """
    remarks: list[str] = []
    cases = find_cases([place], remarks.append)
    names = tuple(sorted({case.name for case in cases}))
    return OlderCases(place, names, len({case.patient for case in cases}), tuple(remarks))


def can_rehearse_sample(learned: Path | None) -> bool:
    """Whether the bundled sample is here to be rehearsed, and is not itself the scan that is learned."""
    try:
        sample = sample_scan()
    except ValueError:
        return False
    return learned is None or learned.resolve() != sample.resolve()
