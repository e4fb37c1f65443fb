"""What the five papers print of their networks, as ``specs/`` has it; ours stand beside it in ``docs/results.md``."""

from __future__ import annotations

from dataclasses import dataclass

from markdown_table import table

ONE_MATRIX = """\
One confusion matrix has one F-score, which is its Dice and follows from precision P and sensitivity S, 2PS / (P + S);
a Jaccard index below it; and an accuracy below it only where there is less background than lesion. Where a paper prints
otherwise it averaged over different things or erred. A split by slice puts neighbours of a test slice among
the training slices."""

ROUNDED = 0.0055
"""Two figures printed with as many digits as the papers' may differ by so much for being rounded."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A row of a paper's table, as printed."""

    paper: str
    data: str
    task: str
    dice: str
    jaccard: str = "–"
    sensitivity: str = "–"
    specificity: str = "–"
    precision: str = "–"
    accuracy: str = "–"
    mae: str = "–"
    f_score: str = "–"

    @property
    def cells(self) -> tuple[str, ...]:
        """The row, in the order of `TITLES`."""
        scores = (self.dice, self.jaccard, self.sensitivity, self.specificity, self.precision, self.accuracy, self.mae)
        return (self.paper, self.data, self.task, *scores, self.f_score, "; ".join(self.odd))

    @property
    def odd(self) -> tuple[str, ...]:
        """What no single confusion matrix gives, or hardly."""
        printed = {name: None if (text := getattr(self, name)) == "–" else float(text) for name in SCORES}
        dice, told = float(self.dice), []
        if (jaccard := printed["jaccard"]) is not None and jaccard > dice:
            told.append("Jaccard > Dice")
        if (f_score := printed["f_score"]) is not None and abs(f_score - dice) > EXACT:
            told.append("F-score ≠ Dice")
        if (accuracy := printed["accuracy"]) is not None and accuracy < dice:
            told.append("accuracy < Dice")
        p, s = printed["precision"], printed["sensitivity"]
        if p is not None and s is not None and abs(2 * p * s / (p + s) - dice) > ROUNDED:
            told.append(f"P and S give {2 * p * s / (p + s):.3f}")
        return tuple(told)


SCORES = ("dice", "jaccard", "sensitivity", "specificity", "precision", "accuracy", "mae", "f_score")

EXACT = 5e-4
"""Less than the last digit of those printed with three."""

TITLES = (
    *("paper", "its data", "task", "dice", "jaccard", "sensitivity", "specificity", "precision", "accuracy", "mae"),
    *("F-score", "what is odd"),
)

PRINTED = (
    Figures(
        *("MASC-Net", "MedSeg set 2, 6 volumes against 3", "any lesion"),
        dice="0.707",
        sensitivity="0.803",
        specificity="0.996",
        precision="0.671",
        f_score="0.707",
    ),
    Figures(
        *("U-Net, by MASC-Net", "the same", "any lesion"),
        dice="0.492",
        sensitivity="0.456",
        specificity="0.996",
        precision="0.657",
        f_score="0.492",
    ),
    Figures(
        *("MASC-Net", "10 Coronacases volumes", "any lesion"),
        dice="0.655",
        sensitivity="0.575",
        specificity="0.998",
        precision="0.821",
        f_score="0.657",
    ),
    Figures(
        *("U-Net, by MASC-Net", "the same", "any lesion"),
        dice="0.485",
        sensitivity="0.377",
        specificity="0.999",
        precision="0.810",
        f_score="0.485",
    ),
    Figures(
        *("COVID-SegNet", "130 patients of its own", "infection"), dice="0.726", sensitivity="0.751", precision="0.726"
    ),
    Figures(*("U-Net, by COVID-SegNet", "the same", "infection"), dice="0.688", sensitivity="0.736", precision="0.662"),
    Figures(*("COVID-SegNet", "the same", "lung"), dice="0.987", sensitivity="0.986", precision="0.990"),
    Figures(*("U-Net, by COVID-SegNet", "the same", "lung"), dice="0.987", sensitivity="0.987", precision="0.984"),
    Figures(
        *("CHS-Net", "MedSeg set 2 and Zenodo, split by slice", "infection"),
        dice="0.88",
        jaccard="0.96",
        sensitivity="0.92",
        specificity="0.97",
        precision="0.85",
        accuracy="0.96",
    ),
    Figures(
        *("CHS-Net", "the same", "lung"),
        dice="0.96",
        jaccard="0.98",
        sensitivity="0.95",
        specificity="0.99",
        precision="0.97",
        accuracy="0.99",
    ),
    Figures(
        *("Elharrouss et al.", "COVID-SemiSeg", "infection"),
        dice="0.786",
        sensitivity="0.711",
        specificity="0.993",
        precision="0.856",
        mae="0.076",
        f_score="0.784",
    ),
    Figures(
        *("U-Net, by Elharrouss et al.", "the same", "infection"),
        dice="0.439",
        sensitivity="0.534",
        specificity="0.858",
        mae="0.186",
    ),
    Figures(
        *("Elharrouss et al.", "the same", "ground-glass, consolidation"),
        dice="0.640",
        sensitivity="0.630",
        specificity="0.953",
        precision="0.561",
        mae="0.062",
        f_score="0.640",
    ),
    Figures(
        *("U-Net, by Elharrouss et al.", "the same", "ground-glass, consolidation"),
        dice="0.422",
        sensitivity=".0379",
        specificity="0.976",
        mae="0.066",
    ),
    Figures(
        *("Residual Attention U-Net", "100 slices, folds by slice", "three classes"),
        dice="0.94",
        precision="0.95",
        accuracy="0.89",
    ),
    Figures(
        *("U-Net, by Residual Attention U-Net", "the same", "three classes"),
        dice="0.82",
        precision="0.83",
        accuracy="0.79",
    ),
)


def papers_figures() -> list[str]:
    """Return the lines of the papers' own figures, in Markdown."""
    return [
        "## The papers' own figures",
        "",
        "Not one of them can be compared with ours row by row: other data, other splits, other tasks, other averages.",
        "They are here so that nobody has to look them up. A row of a U-Net is what the same paper measured of one.",
        "",
        *table(TITLES, (one.cells for one in PRINTED)),
        "",
        ONE_MATRIX,
        "",
    ]
