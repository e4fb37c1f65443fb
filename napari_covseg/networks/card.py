"""What a checkpoint says about itself: what it is, what taught it, what it is worth."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, StrictBool, field_validator

from napari_covseg.networks.learned import Learned
from napari_covseg.volume import LESIONS

Dice = Mapping[str, float | None]
"""Dice by class, as ``dice_<name>``; None where nothing was to be found."""


_PATIENTS = re.compile(r"\d+ patients? or sets?: (?P<names>.+)")


OTHERS = "others, who are not named"


def told_of_patients(names: Collection[str], *, are_all: bool = True) -> str:
    """Return the words for ``trained_on`` of weights that some patients taught; `patients_told` takes them apart.

    Where they are not all, these words say so.
    """
    told = f"{len(names)} {'patient or set' if len(names) == 1 else 'patients or sets'}: {', '.join(sorted(names))}"
    return told if are_all else f"{OTHERS}, and {told}" if names else OTHERS


def patients_told(trained_on: str) -> frozenset[str] | None:
    """Return the patients that a card's ``trained_on`` names; None where it does not name all who taught it."""
    found = _PATIENTS.fullmatch(trained_on)
    return frozenset(found["names"].split(", ")) if found else None


class _Row(BaseModel):
    """A class in a table of a gate."""

    name: str
    dice_before: float | None
    dice_after: float | None


class _Gate(BaseModel):
    promoted: StrictBool = False
    judged: StrictBool = False
    words: str = ""
    slices: int = 0
    replay_slices: int = 0
    held_out: tuple[_Row, ...] = ()
    replay: tuple[_Row, ...] = ()


class _Sibling(BaseModel):
    held_out: tuple[str, ...] = ()
    held_out_pooled: Dice = {}


class _CrossValidated(BaseModel):
    pooled: Dice = {}
    patients: int = 0
    steps: int = 0


class _BeforeAndAfter(BaseModel):
    before: Dice = {}
    after: Dice = {}


class _Figures(BaseModel):
    """Of a card's metrics those that are shown or decided by; it may hold others."""

    held_out: tuple[str, ...] = ()
    held_out_pooled: Dice = {}
    cross_validated: _CrossValidated = _CrossValidated()
    sibling: _Sibling = _Sibling()
    gate: _Gate = _Gate()
    on_the_learned_slices: _BeforeAndAfter = _BeforeAndAfter()


class Card(BaseModel):
    """What a checkpoint says about itself.

    ``scheme`` holds the ordered names of its lesion classes; everything maps by these names, never by index.
    ``command`` and ``commit`` say how to make it again. A fine-tuned one names its parent, the fingerprints of the
    sessions it learned from (what was reviewed in each) and of their scans. ``learned`` says which slices taught it or
    a fine-tuned ancestor, and which judged one, by the fingerprint of a scan's voxels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str
    width: Literal["paper", "compact"]
    scheme: tuple[str, ...]
    trained_on: str
    terms: str = ""
    parent_sha256: str = ""
    sessions_sha256: tuple[str, ...] = ()
    scans_sha256: tuple[str, ...] = ()
    learned: Mapping[str, Learned] = {}
    config: Mapping[str, Any] = {}
    metrics: Mapping[str, Any] = {}
    created_utc: str = ""
    code_version: str = ""
    data: str = ""
    command: str = ""
    commit: str = ""
    known_failures: tuple[str, ...] = ()

    @property
    def patients(self) -> frozenset[str] | None:
        """Who taught it, by the names in ``cases.json``; None where not all are named, as of a fine-tuned one."""
        return patients_told(self.trained_on)

    @property
    def named_patients(self) -> frozenset[str]:
        """Those it names of all who taught it or one it comes from; of a name that is not here nothing follows."""
        found = _PATIENTS.search(self.trained_on)
        return frozenset(found["names"].split(", ")) if found else frozenset()

    @property
    def recorded_patients(self) -> frozenset[str]:
        """Those of whom its record says that they taught it or one it comes from, by names as in `io.pseudonyms`."""
        return frozenset(name for seen in self.learned.values() if seen.taught != () for name in seen.patients)

    @property
    def measured_dice(self) -> Mapping[str, float]:
        """Dice by class, as ``dice_<name>``, over all voxels of patients it never saw.

        Where everybody was taught, nobody is left to measure it on: then it is that of a sibling, which learned by the
        same recipe without some patients, else the same recipe's in cross-validation. Empty where none was measured.
        """
        told = _Figures.model_validate(self.metrics)
        found = told.held_out_pooled or told.sibling.held_out_pooled or told.cross_validated.pooled
        return {name: dice for name, dice in found.items() if dice is not None}

    @field_validator("created_utc")
    @classmethod
    def _is_a_time(cls, told: str) -> str:
        if told:
            datetime.fromisoformat(told)
        return told

    @field_validator("metrics")
    @classmethod
    def _measured_as_we_do(cls, metrics: Mapping[str, Any]) -> Mapping[str, Any]:
        """Refuse figures of another form than ours: whoever shows them relies on it."""
        _Figures.model_validate(metrics)
        return metrics

    @field_validator("scheme")
    @classmethod
    def _known_classes(cls, scheme: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse names that no label map has: what they name would vanish from every mask."""
        if not scheme or len(set(scheme)) != len(scheme) or not set(scheme) <= set(LESIONS.names):
            raise ValueError(f"Its classes ({', '.join(scheme)}) are not some of {', '.join(LESIONS.names)}.")
        return scheme
