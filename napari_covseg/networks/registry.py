"""The networks there are: every module of `zoo` that defines SPEC."""

from __future__ import annotations

import ast
import pkgutil
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from napari_covseg.networks import zoo
from napari_covseg.networks.spec import NetworkSpec

ALL_NETWORKS = "all"
"""Stands for every network with trained weights, as one: the mean of their probabilities."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a panel shows of a network before anybody needs torch."""

    key: str
    title: str
    paper: str
    summary: str


@cache
def available() -> tuple[str, ...]:
    """Return the keys of all networks, in alphabetical order."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(zoo.__path__)))


@cache
def listing(key: str) -> Listing:
    """Return what a panel shows of a network, read from its source: importing it would import torch, for seconds.

    Raises
    ------
    KeyError
        If there is no such network.
    """
    _refuse_unknown(key)
    if key in _guests:
        guest = _guests[key]
        return Listing(guest.key, guest.title, guest.paper, guest.summary)
    source = Path(zoo.__path__[0], f"{key}.py").read_text("utf-8")
    words = {
        keyword.arg: keyword.value.value
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "NetworkSpec"
        for keyword in call.keywords
        if isinstance(keyword.value, ast.Constant)
    }
    return Listing(*(str(words[name]) for name in ("key", "title", "paper", "summary")))


def load(key: str) -> NetworkSpec:
    """Return a network's spec.

    Raises
    ------
    KeyError
        If there is no such network; the message lists those there are.
    """
    _refuse_unknown(key)
    if key in _guests:
        return _guests[key]
    spec: NetworkSpec = import_module(f"{zoo.__name__}.{key}").SPEC
    return spec


def invite(spec: NetworkSpec) -> None:
    """Let a network that is not in the zoo, a benchmark's baseline, be trained and measured in this process.

    Raises
    ------
    ValueError
        If the zoo has a network of that key.
    """
    if spec.key in available():
        raise ValueError(f"The zoo has a network {spec.key!r} of its own.")
    _guests[spec.key] = spec


_guests: dict[str, NetworkSpec] = {}


def _refuse_unknown(key: str) -> None:
    if key not in available() and key not in _guests:
        raise KeyError(f"There is no network {key!r}; there are {', '.join(available())}.")
