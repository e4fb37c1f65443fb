"""Is the child better? Judged on slices it never saw, against its parent, before anybody works with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from napari_covseg.training.comparison import EPSILON, FEWEST_FOR_INTERVAL, Row
from napari_covseg.training.neighbourhoods import TOO_CLOSE
from napari_covseg.volume import SHORT_TITLES

MARGIN = 0.01
"""By so much may a child's Dice on older cases fall, of any lesion and on average, and it is not called worse."""

ONE_CLASS = 3.0
"""How many times as much a single class may fall there."""

LEAST_GAIN = 0.01
"""By so much at least must the mean Dice of the classes rise on the held-out slices, or the child is not better."""

FLATTERED = "It was ended early and kept as it was best on these slices, which flatters it a little."

LEAST_ML, LEAST_SHARE = 0.1, 0.1
"""Where no held-out slice shows a lesion: so many mL less must be marked, or such a share of them if that is more."""

CLASS_MARGIN = 0.02
"""By so much may one class's Dice on the held-out slices fall while the mean of all rises."""

FURTHER_MM, FURTHER_SHARE = 10.0, 0.5
"""HD95 that grows by more than so much, and by more than such a share of what it was, is told: Dice hardly sees a few
voxels marked far from every lesion."""

MORE_ML, MORE_SHARE = 2.0, 0.5
"""So is the volume of a class that is off by so much more, and by more than such a share of what it was: Dice may rise
where a class is marked better on some slices and far too much on others."""

ALL_CLASSES = "all classes taken together"
ASIDE = "your corrected slices that it did not learn from"
OLDER = "older cases"


@dataclass(frozen=True, slots=True)
class Fall:
    """By how much the Dice of a class, or of all on average, fell on cases of before, and what is allowed."""

    name: str
    by: float
    allowed: float

    @property
    def is_allowed(self) -> bool:
        """Whether it is no worse than allowed."""
        return self.by <= self.allowed + EPSILON


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of a child.

    Parameters
    ----------
    promoted
        Whether it takes its parent's place.
    judged
        Whether there was enough to judge by: a reviewed slice held out, and for one that is better there an older case.
    words
        Why, in the reader's words.
    held_out, replay
        The table on held-out corrected slices and on cases of before.
    slices, replay_slices
        How many slices each is of.
    margin
        Of forgetting.
    """

    promoted: bool
    judged: bool
    words: str
    held_out: tuple[Row, ...]
    replay: tuple[Row, ...]
    slices: int
    replay_slices: int
    margin: float = MARGIN

    def figures(self) -> dict[str, Any]:
        """Return it for a checkpoint's card and for JSON."""
        tables = {name: [asdict(row) for row in getattr(self, name)] for name in ("held_out", "replay")}
        told = ("promoted", "judged", "words", "slices", "replay_slices", "margin")
        return {**{name: getattr(self, name) for name in told}, **tables}


def judged(
    held_out: tuple[Row, ...],
    replay: tuple[Row, ...],
    slices: tuple[int, int],
    margin: float,
    older: str = OLDER,
    nobody: str = TOO_CLOSE,
    *,
    ended_early: bool = False,
) -> Verdict:
    """Return the verdict on a child.

    Parameters
    ----------
    held_out
        On corrected slices that it did not learn.
    replay
        On cases of before.
    slices
        How many slices each of them is of.
    margin
        By how much the Dice of any lesion, and of all classes on average, may fall on the cases of before.
    older
        What these are called.
    nobody
        Why no slice judges, where none does.
    ended_early
        Whether a reader ended the training, and the best of its looks at the slices that judge was kept.
    """
    remembers, old = _remembers(replay, margin, older)
    if not slices[0]:
        words = (
            f"No slice could be kept aside to judge by: {nobody}. Whether it is better on other slices cannot be said; "
            f"{old}. Look at what it draws before you use it."
        )
        return Verdict(False, False, words, held_out, replay, *slices, margin)
    better, why = _is_better(held_out)
    told = [*_left_open(held_out, CLASS_MARGIN), *_little_worse(held_out)]
    why += _aside([*told, *_further_off(held_out), *_more_ml_off(held_out)])
    few = "" if slices[0] >= FEWEST_FOR_INTERVAL else f" Slices to judge by: {slices[0]}, which is little to go by."
    flattered = f" {FLATTERED}" if ended_early else ""
    words = f"{why}; {old}.{few}{flattered}"
    if better and remembers is None:
        words = f"{old.capitalize()}. {why}.{few}{flattered} Look at what it draws before you use it."
        return Verdict(False, False, words, held_out, replay, *slices, margin)
    return Verdict(better and bool(remembers), True, words, held_out, replay, *slices, margin)


def worst_fall(rows: Sequence[Row], margin: float) -> Fall | None:
    """Return what fell most beyond what is allowed, on cases of before; None where they hold no class.

    Allowed is the margin for any lesion and for the mean of the classes, each weighing as its voxels; `ONE_CLASS` times
    as much for a single class, and more where so few voxels leave it open whether it fell at all (`Row.fell`).
    """
    falls = [Fall(row.name, -row.gain, margin) for row in rows if row.name == "lesion" and row.present]
    classes = _classes(rows)
    if len(classes) > 1:
        falls.append(Fall(ALL_CLASSES, -_mean([row.gain for row in classes], classes), margin))
    for row in classes:
        allowed = margin if len(classes) == 1 else ONE_CLASS * margin
        if -row.gain <= allowed + EPSILON or row.fell(allowed):
            falls.append(Fall(row.name, -row.gain, allowed))
    return max(falls, key=lambda fall: fall.by - fall.allowed, default=None)


def surely_fell(rows: Sequence[Row], margin: float) -> bool:
    """Whether some class fell by more than the margin even at the upper end of its interval; without one, by `fell`."""
    return any(row.fell(margin) if row.gain_high is None else row.surely_fell(margin) for row in rows if row.present)


def _is_better(rows: Sequence[Row]) -> tuple[bool, str]:
    """Return whether the classes are better on the whole and none much worse, and that in words."""
    present = [row for row in rows if row.present]
    if not present:
        return _marks_less(rows)
    classes, worse, invented = _classes(rows) or present, [row for row in present if _is_worse(row)], _invented(rows)
    gain = _mean([row.gain for row in classes], classes)
    if gain <= 0:
        return False, f"Not better on {ASIDE}"
    if worse:
        worst = min(worse, key=lambda row: row.gain)
        return False, f"Worse in {_titled(worst.name)} on {ASIDE}"
    if invented:
        return False, f"On {ASIDE} it {'; '.join(invented)}"
    if gain < LEAST_GAIN - EPSILON:
        return False, f"Hardly better on {ASIDE}"
    return True, f"Better on {ASIDE}{_chance(classes)}"


def _marks_less(rows: Sequence[Row]) -> tuple[bool, str]:
    """Return whether less is marked where there is no lesion at all; any lesion is the sum of its classes."""
    each, invented = [row for row in rows if row.name != "lesion"] or rows, _invented(rows)
    before, after = (sum(getattr(row, f"ml_error_{when}") for row in each) for when in ("before", "after"))
    least = max(LEAST_ML, LEAST_SHARE * before)
    told = f"There is no lesion on {ASIDE}; marked there in error: {before:.1f} → {after:.1f} mL"
    return before - after >= least - EPSILON and not invented, "; it ".join([told, *invented])


def _chance(classes: Sequence[Row]) -> str:
    """Return, in words, that a gain may be chance, or that nobody can tell; nothing where it is not.

    The lower end of the mean is taken to be the mean of the lower ends, as if all classes did badly on the same slices:
    it is lower if anything, and exact of a single class.
    """
    lows = [row.gain_low for row in classes if row.gain_low is not None]
    if len(lows) < len(classes):
        return ", on too few slices to tell it from chance"
    return "" if _mean(lows, classes) > 0 else ", within what chance would give"


def _remembers(rows: Sequence[Row], margin: float, older: str) -> tuple[bool | None, str]:
    """Return whether a child still knows the cases of before, and that in words; the figures are in the table.

    None is for nobody knows: they show no class.
    """
    fall, invented = worst_fall(rows, margin), _invented(rows)
    remembers = (fall is None or fall.is_allowed) and not invented
    if fall is None and not invented:
        return None, "no older case at hand shows a lesion that would tell whether it forgot any"
    worst = [] if fall is None or fall.is_allowed else [_titled(fall.name)]
    told = [*worst, *(f"it {words}" for words in invented), *_left_open(rows, ONE_CLASS * margin)]
    told += [*(_as_allowed(rows, margin) if remembers else []), *_further_off(rows), *_more_ml_off(rows)]
    return remembers, f"{'not worse' if remembers else 'worse'} on {older}{_aside(told)}"


def _invented(rows: Sequence[Row]) -> list[str]:
    """Return, in words, what is marked where there is none of it, and was not before."""
    classes = [row for row in rows if row.is_invented and row.name != "lesion"]
    return [
        f"marks {_titled(row.name)} where there is none, {row.ml_error_before:.1f} → {row.ml_error_after:.1f} mL"
        for row in classes or [row for row in rows if row.is_invented]
    ]


def _as_allowed(rows: Sequence[Row], margin: float) -> list[str]:
    """Return, in words, which classes surely fell, by more than all together may, though no more than one may."""
    return [
        f"a little worse in {_titled(row.name)}, as a single class may be"
        for row in _classes(rows)
        if row.surely_fell(margin) and -row.gain <= ONE_CLASS * margin + EPSILON
    ]


def _further_off(rows: Sequence[Row]) -> list[str]:
    """Return, in words, of which class errors lie much further from it than before; of several the worst."""

    def growth_mm(row: Row) -> float:
        return _growth(row.hd95_mm_before, row.hd95_mm_after, FURTHER_MM, FURTHER_SHARE)

    worst = max(rows, key=growth_mm, default=None)
    if worst is None or not growth_mm(worst):
        return []
    grown = f"{worst.hd95_mm_before:.0f} → {worst.hd95_mm_after:.0f} mm"
    return [f"errors in {_titled(worst.name)} lie further off, HD95 {grown}"]


def _more_ml_off(rows: Sequence[Row]) -> list[str]:
    """Return, in words, the volume of which class that is there is off by much more; of several the worst."""

    def growth_ml(row: Row) -> float:
        return _growth(row.ml_error_before, row.ml_error_after, MORE_ML, MORE_SHARE)

    worst = max((row for row in rows if row.present), key=growth_ml, default=None)
    if worst is None or not growth_ml(worst):
        return []
    grown = f"{worst.ml_error_before:.1f} → {worst.ml_error_after:.1f} mL"
    return [f"the volume of {_titled(worst.name)} is off by more, {grown}"]


def _growth(before: float | None, after: float | None, least: float, share: float) -> float:
    """Return by how much an error grew; 0 where that is no more than `least`, or than this share of what it was."""
    grown = 0.0 if before is None or after is None else after - before
    return grown if grown > max(least, share * (before or 0.0)) else 0.0


def _is_worse(row: Row) -> bool:
    fell = -row.gain > CLASS_MARGIN + EPSILON if row.name == "lesion" else row.fell(CLASS_MARGIN)
    return fell or row.surely_fell(MARGIN)


def _little_worse(rows: Sequence[Row]) -> list[str]:
    """Return, in words, which classes, any lesion among them, surely fell, though by no more than they may."""
    fell = [row for row in rows if row.present and row.surely_fell() and not _is_worse(row)]
    return [f"a little worse in {_titled(row.name)}" for row in fell]


def _classes(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.present and row.name != "lesion"]


def _mean(values: Sequence[float], rows: Sequence[Row]) -> float:
    """Return a mean over classes, each weighing as its voxels: of a few voxels Dice says little, up or down."""
    return sum(row.voxels * value for value, row in zip(values, rows, strict=True)) / sum(row.voxels for row in rows)


def _left_open(rows: Sequence[Row], allowed: float) -> list[str]:
    """Return, in words, which classes fell by more than is allowed, on so few voxels that it may be chance."""
    return [
        f"{_titled(row.name)} seems worse, on too little of it to tell"
        for row in _classes(rows)
        if -row.gain > allowed + EPSILON and not row.fell(allowed)
    ]


def _aside(told: Sequence[str]) -> str:
    return f" ({'; '.join(told)})" if told else ""


def _titled(name: str) -> str:
    return SHORT_TITLES.get(name, name)
