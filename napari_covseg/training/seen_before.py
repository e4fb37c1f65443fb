"""Which cases hold slices that taught a checkpoint, whatever they and their patients are called now."""

from __future__ import annotations

from napari_covseg.io.cases import Case, Origin, origin_of
from napari_covseg.networks import Checkpoint
from napari_covseg.networks.learned import Learned, learned_by
from napari_covseg.volume import Volume


class Origins:
    """Where cases come from, noted as they are read: by their slices, once for all networks that read them."""

    def __init__(self) -> None:
        self._of: dict[Case, tuple[Origin, frozenset[int]]] = {}

    def note(self, case: Case, scan: Volume) -> None:
        """Remember which scan a case is of, and which of its slices count; ``scan`` is what `read_case` gave of it."""
        if case not in self._of:
            origin = origin_of(case, scan)
            numbers = frozenset(origin.first + index + 1 for index in case.indices(scan.geometry.shape[0]))
            self._of[case] = (origin, numbers)

    def that_taught(self, trained: Checkpoint) -> tuple[Case, ...]:
        """Return the cases of which a slice that counts taught a checkpoint or one it comes from, as its card records.

        Of a scan that taught, nobody knows with which slices, all are taken for taught. A card of before there were
        fingerprints of slices finds none.
        """
        taught = {scan: seen for scan, seen in learned_by(trained.card).items() if seen.taught != ()}

        def holds_any(origin: Origin, numbers: frozenset[int]) -> bool:
            seen = (_in_scan(origin, scan, learned) for scan, learned in taught.items())
            return any(one is not None and (one.taught is None or not numbers.isdisjoint(one.taught)) for one in seen)

        return tuple(case for case, (origin, numbers) in self._of.items() if holds_any(origin, numbers))


def _in_scan(origin: Origin, scan: str, learned: Learned) -> Learned | None:
    """Return what was seen of a scan by the numbers of another's slices; None where they are no copies of one."""
    return learned if scan == origin.voxels_sha256 else learned.in_copy(origin.slices_sha256)
