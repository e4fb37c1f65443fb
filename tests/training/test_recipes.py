"""Recipes: the shipped one for all five networks, and each paper's own as its spec says."""

import importlib
from pathlib import Path

import pytest

from napari_covseg.networks import available, load
from napari_covseg.training.augment import SHIPPED, augmentation
from napari_covseg.training.losses import MIXTURES
from napari_covseg.training.recipes import PATIENCE, training_config


@pytest.mark.parametrize("key", available())
def test_the_papers_recipe_is_its_specs(key):
    spec = load(key)
    config = training_config(spec, "paper", steps=7)
    assert (config.batch, config.learning_rate) == (spec.recipe.batch, spec.recipe.learning_rate)
    assert config.augmentation == spec.recipe.augmentation
    assert (config.schedule, config.warm_up, config.weight_decay, config.clip_norm) == ("constant", 0, 0, 0)
    assert config.loss is None
    assert config.patience == spec.recipe.patience
    assert all(stage.loss in MIXTURES for stage in spec.stages)
    augmentation(config.augmentation, 8, 0)  # every name is known


SEEN = {"masc_net": 512, "chs_net": 256, "two_stream_segnet": 512, "res_att_unet": 369}


@pytest.mark.parametrize(("key", "side"), SEEN.items())
def test_a_paper_of_slices_sees_them_whole(key, side):
    config = training_config(load(key), "paper", steps=7)
    assert (config.crop, config.depth) == (side, 1)


def test_a_paper_of_patches_sees_its_patches():
    config = training_config(load("covid_segnet"), "paper", steps=7)
    assert (config.depth, config.crop) == (64, 128)


@pytest.mark.parametrize("key", available())
def test_the_shipped_recipe_differs_only_in_what_a_patch_is(key):
    is_patch = load(key).grain == "patch"
    config = training_config(load(key), "shipped", steps=7, seed=3, parts=2)
    assert (config.steps, config.seed, config.parts) == (7, 3, 2)
    assert config.augmentation == SHIPPED
    assert (config.schedule, config.loss, config.learning_rate) == ("cosine", "ce_plus_dice", 1.5e-3)
    assert (config.batch, config.crop) == ((2, 128) if is_patch else (4, 256))
    assert config.patience == PATIENCE


@pytest.mark.parametrize("recipe", ["shipped", "paper"])
def test_batch_rate_and_patience_may_be_others(recipe):
    config = training_config(load("chs_net"), recipe, steps=7, batch=3, learning_rate=0.5, patience=0)
    assert (config.batch, config.learning_rate, config.patience) == (3, 0.5, 0)


@pytest.fixture
def script(monkeypatch):
    """What writes docs/recipes.md."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("recipes_page")


def test_the_page_of_recipes_is_what_the_code_does(script):
    assert script.PAGE.read_text("utf-8") == script.page(), "run benchmarks/recipes_page.py"


def test_the_page_of_recipes_knows_every_augmentation_and_whatever_a_paper_left_open(script):
    with pytest.raises(ValueError, match="there are") as refused:
        augmentation(("elastic",), 8, 0)
    known = str(refused.value).rpartition("there are ")[2].rstrip(".").split(", ")
    assert sorted(script.STRENGTHS) == known
    rows = {name for names, _ in script._SETTINGS.values() for name in names}
    assert all({*load(key).recipe.unstated} <= rows for key in available())
