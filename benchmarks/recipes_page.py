"""Write ``docs/recipes.md``, how networks are trained, from the code that trains them; ``--check`` only compares."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from markdown_table import table

from napari_covseg.networks import NetworkSpec, available, load
from napari_covseg.training import augment
from napari_covseg.training.augment import SHIPPED
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.crops import WANDER
from napari_covseg.training.losses import MIXTURES
from napari_covseg.training.recipes import RecipeName, training_config
from napari_covseg.training.train import LUNG_SHARE

PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"

OURS = " (ours)"

STRENGTHS = {
    "random_crop": "the piece itself, cut at random as the table above has it",
    "rotate": f"turned by up to {augment.ROTATION_DEGREES}° either way",
    "rescale": f"rows up to ±{augment.ROWS_RESCALED:.0%}, columns ±{augment.LARGEST_ZOOM_OUT - 1:.0%}, each by itself",
    "translate": f"up or down by up to {augment.TRANSLATION:.0%} of the side",
    "rotate_90": "turned by 90°, 180° or 270°",
    "flip": "left and right exchanged",
    "window": f"either end of the window shifted by up to {augment.WINDOW_SPREAD:.0%} of its width",
    "gamma": "grey to the power of {:g} to {:g}".format(*augment.GAMMA),
    "blur": "Gaussian, σ {:g} to {:g} pixels".format(*augment.BLUR_PX),
    "noise": f"Gaussian, σ up to {augment.LARGEST_NOISE:g} of the window",
}
"""How far each augmentation goes; `OFTEN` tells how often."""


def page() -> str:
    """Return the page as Markdown."""
    specs = [load(key) for key in available()]
    of_slices, of_patches = (next(spec for spec in specs if spec.grain == grain) for grain in ("slice", "patch"))
    shipped = {"networks of slices": of_slices, f"{of_patches.title}, 3-D": of_patches}
    lines = [
        "# How the networks are trained",
        "",
        "Made by `python benchmarks/recipes_page.py` from the code that trains them. `covseg train` takes the shipped",
        "recipe, with `--recipe paper` each paper's own. `--steps` says how long with either, and a lung part takes",
        f"{LUNG_SHARE:g} of them; `--batch`, `--learning-rate` and `--patience` take the place of the recipe's. The",
        "commands that made the weights that ship stand in their cards, in [docs/models](models).",
        "",
        "## The shipped recipe",
        "",
        "The same for all five; a 3-D network learns on smaller pieces, fewer at a time.",
        "",
        *table(["", *shipped], _rows("shipped", list(shipped.values()))),
        "",
        "The averaged weights are what is kept: of the best check where patients are held out, else of the last step.",
        "What nobody looked for in a case teaches nothing ([decision 4](decisions/0004-marginal-loss.md)).",
        "",
        "## The papers' recipes",
        "",
        "“ours” is what a paper does not state. Ours too, in every column: the averaged weights, how many pieces show",
        "a lesion, how often a training is checked, how far an augmentation goes, the smoothing of the soft Dice, its",
        "being taken over a batch, and that what nobody looked for in a case teaches nothing.",
        "",
        *table(["", *(spec.title for spec in specs)], _rows("paper", specs)),
        "",
        *(f"- **{spec.title}**: {sentence}" for spec in specs for sentence in spec.recipe.otherwise),
        "",
        "## Augmentation",
        "",
        "In this order; labels and the regions of earlier parts are moved along, and slices of a 3-D piece alike.",
        "",
        *table(["", "how far", "of the samples", "shipped", "the papers"], _augmentations(specs)),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write or compare; return the exit code."""
    if "--check" in sys.argv:
        return int(not PAGE.exists() or PAGE.read_text("utf-8") != page())
    PAGE.write_text(page(), "utf-8")
    return 0


def _rows(recipe: RecipeName, specs: list[NetworkSpec]) -> list[list[str]]:
    """Return a row per setting, a cell per network, marked where its paper does not state it."""
    rows = []
    for title, (names, words) in _SETTINGS.items():
        cells = [words(training_config(spec, recipe, steps=1), spec) for spec in specs]
        if recipe == "paper":
            told = zip(cells, specs, strict=True)
            cells = [cell + OURS * bool(names & {*spec.recipe.unstated}) for cell, spec in told]
        rows.append([title, *cells])
    return rows


def _augmentations(specs: list[NetworkSpec]) -> list[list[str]]:
    return [
        [
            f"`{name}`",
            far,
            f"{augment.OFTEN.get(name, 1.0):.0%}",
            "yes" if name in SHIPPED else "",
            ", ".join(spec.title for spec in specs if name in spec.recipe.augmentation),
        ]
        for name, far in STRENGTHS.items()
    ]


def _optimiser(config: TrainingConfig, _: NetworkSpec) -> str:
    return f"AdamW, weight decay {config.weight_decay:g}" if config.weight_decay else "Adam"


def _schedule(config: TrainingConfig, _: NetworkSpec) -> str:
    warm_up = f" after a linear warm-up of {config.warm_up:.0%} of the steps" if config.warm_up else ""
    return {"cosine": "cosine to 0", "constant": "constant"}[config.schedule] + warm_up


def _loss(config: TrainingConfig, spec: NetworkSpec) -> str:
    names = dict.fromkeys(config.loss or stage.loss for stage in spec.stages)
    return "; ".join(_mixture(*MIXTURES[name]) for name in names)


def _mixture(cross_entropy: float, dice: float) -> str:
    parts = {"cross-entropy": cross_entropy, "soft Dice": dice}
    return " + ".join(f"{'' if weight == 1 else f'{weight:g} '}{name}" for name, weight in parts.items() if weight)


def _piece(config: TrainingConfig, spec: NetworkSpec) -> str:
    plane = f"{config.crop} × {config.crop}"
    return f"{config.depth} × {plane} voxels" if spec.grain == "patch" else f"{plane} pixels"


def _where(config: TrainingConfig, spec: NetworkSpec) -> str:
    if spec.grain == "slice" and config.loss is None:
        return f"whole slices, {config.lesion_share:.0%} with a lesion"
    return f"{config.lesion_share:.0%} at a lesion, which lies up to {WANDER:.0%} of the side off the middle"


def _average(config: TrainingConfig, _: NetworkSpec) -> str:
    return f"decay {config.ema_decay:g}, less in the first steps"


def _patience(config: TrainingConfig, _: NetworkSpec) -> str:
    return f"{config.patience} of {config.checks} checks" if config.patience else "never stops early"


_Words = Callable[[TrainingConfig, NetworkSpec], str]

_SETTINGS: Mapping[str, tuple[set[str], _Words]] = {
    "optimiser": ({"optimiser"}, _optimiser),
    "peak rate": ({"learning_rate"}, lambda config, _: f"{config.learning_rate:g}"),
    "schedule": ({"schedule"}, _schedule),
    "gradients clipped at norm": (set(), lambda config, _: f"{config.clip_norm:g}" if config.clip_norm else "no"),
    "loss": ({"loss"}, _loss),
    "batch": ({"batch"}, lambda config, _: str(config.batch)),
    "a piece": ({"crop"}, _piece),
    "which pieces": (set(), _where),
    "augmentation": ({"augmentation"}, lambda config, _: ", ".join(config.augmentation) or "none"),
    "averaged weights": (set(), _average),
    "patience": ({"patience"}, _patience),
}
"""Title of a row: what `Recipe.unstated` calls it, and its cell."""


if __name__ == "__main__":
    sys.exit(main())
