"""Which slices of which scans taught a checkpoint or one it comes from, and which judged one: no slice may do both."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

from napari_covseg.volume import Geometry
from napari_covseg.volume.copies import moved, shared

if TYPE_CHECKING:
    from napari_covseg.networks.card import Card


ONE_PATIENT_MM = 40.0
"""In two scans of one patient slices as close as this may show one lesion, as far as can be told without aligning them:
counted in the scanner's millimetres, or from the first slice of each."""


class Places(BaseModel):
    """Where the slices of a scan lie, in reading order: how deep below the first, and how high for the scanner."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spacing_mm: float
    first_mm: float
    step_mm: float

    @classmethod
    def of(cls, geometry: Geometry, cut_off: int = 0) -> Self:
        """Return those of a scan's slices, numbered as before so many at its beginning were cut off."""
        first, second = geometry.to_mm([[-cut_off, 0, 0], [1 - cut_off, 0, 0]])[:, 2].tolist()
        return cls(spacing_mm=geometry.spacing_mm[0], first_mm=first, step_mm=second - first)

    def may_be_near(self, index: int, other: Places, there: int) -> bool:
        """Whether a slice may show the same as one of another scan of the patient, by either way to count."""
        deeper = self.spacing_mm * index - other.spacing_mm * there
        higher = self.first_mm + self.step_mm * index - other.first_mm - other.step_mm * there
        return min(abs(deeper), abs(higher)) <= ONE_PATIENT_MM


class Learned(BaseModel):
    """What a line of checkpoints has seen of one scan.

    Parameters
    ----------
    taught
        Numbers of the slices that taught one of them, from 1 at the apex; None where nobody knows which.
    judged
        Numbers of those that judged one and taught none.
    slices_sha256
        Fingerprints of all slices of the scan (`Volume.slices_sha256`), by which its copies are known; empty in records
        of before there were any.
    patients
        Whose scan it is, by names that mean nothing elsewhere (`io.pseudonyms`): a copy that lost the patient's number
        has another one than the original. None where nobody knows.
    places
        Where its slices lie; None where nobody knows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    taught: tuple[int, ...] | None = ()
    judged: tuple[int, ...] = ()
    slices_sha256: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()
    places: Places | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_one_name(cls, told: Any) -> Any:
        """Read a record of before a patient could have several names."""
        if isinstance(told, dict) and "patient" in told:
            kept = {key: value for key, value in told.items() if key != "patient"}
            return {**kept, "patients": tuple(filter(None, [told["patient"]]))}
        return told

    @classmethod
    def of(cls, taught: Collection[int], judged: Collection[int] = (), slices_sha256: tuple[str, ...] = ()) -> Self:
        """Return it of indices, which begin at 0."""
        judged = set(judged) - set(taught)
        return cls(taught=_numbers(taught), judged=_numbers(judged), slices_sha256=slices_sha256)

    def in_patient(self, patients: Collection[str], places: Places | None) -> Learned:
        """Return it with whose scan it is, where that is known, and where its slices lie, None where nobody knows."""
        return self.model_copy(update={"patients": tuple(sorted(patients)), "places": places}) if patients else self

    def may_be_near(self, places: Places, index: int) -> bool:
        """Whether a slice of another scan of the patient may show what taught; the worst is assumed."""
        if self.taught is None or self.places is None:
            return True
        return any(self.places.may_be_near(number - 1, places, index) for number in self.taught)

    def beside(self, other: Learned) -> Learned:
        """Return what both have seen; a slice that taught one of them is no longer one that only judged."""
        both = Learned(
            slices_sha256=max(self.slices_sha256, other.slices_sha256, key=_length),
            patients=tuple(sorted({*self.patients, *other.patients})),
            places=self.places or other.places,
        )
        if self.taught is None or other.taught is None:
            return both.model_copy(update={"taught": None})
        taught = {*self.taught, *other.taught}
        judged = {*self.judged, *other.judged} - taught
        return both.model_copy(update={"taught": tuple(sorted(taught)), "judged": tuple(sorted(judged))})

    def in_copy(self, slices_sha256: Sequence[str]) -> Learned | None:
        """Return it by the numbers that the slices have in a copy of the scan, some perhaps beyond it.

        None where both have no slice in common.
        """
        pairs = shared(self.slices_sha256, slices_sha256)
        if not pairs:
            return None
        if self.taught is None:
            return Learned(taught=None, patients=self.patients)
        taught, judged = (moved([number - 1 for number in each], pairs) for each in (self.taught, self.judged))
        return Learned.of(taught, judged).model_copy(update={"patients": self.patients})


Record = Mapping[str, Learned]
"""By the fingerprint of a scan's voxels (`Volume.voxels_sha256`), the same in whatever file the scan lies."""


def learned_by(card: Card) -> Record:
    """Return what a checkpoint and those it comes from have seen.

    A card of before there was a record names its scans only, as files: which of their slices taught nobody knows. They
    stand here by `Volume.sha256`.
    """
    if card.learned:
        return card.learned
    return {scan: Learned(taught=None) for scan in card.scans_sha256}


def merged(*records: Record) -> dict[str, Learned]:
    """Return one record of several."""
    every: dict[str, Learned] = {}
    for record in records:
        for scan, learned in record.items():
            every[scan] = learned.beside(every.get(scan, Learned()))
    return every


def _length(slices_sha256: tuple[str, ...]) -> int:
    """Return how much fingerprints tell: older records have one of a slice, or none."""
    return sum(map(len, slices_sha256))


def _numbers(indices: Collection[int]) -> tuple[int, ...]:
    return tuple(sorted(int(index) + 1 for index in indices))
