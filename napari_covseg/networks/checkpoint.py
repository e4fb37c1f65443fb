"""Trained weights in one safetensors file: tensors, and a card that says what they are.

Weights are stored as fp16; batch norms, biases, slopes and small kernels as fp32, since rounding them costs the most
accuracy and keeping them the least space. The card travels in the file's header, so listing checkpoints reads a few
kilobytes and needs no torch.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from napari_covseg.io import home, written
from napari_covseg.networks import registry
from napari_covseg.networks.card import Card
from napari_covseg.networks.sums import listed_sha256, tensors_sha256

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_covseg.networks.spec import NetworkSpec

log = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent / "weights"
OWN_FOLDER = "checkpoints"
SUFFIX = ".safetensors"
_SAFE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}(?<!\.)", re.ASCII)
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10))}
"""What Windows takes for a device, with whatever suffix."""

_HEADER_KEY, _SUM_KEY = "covseg", "tensors_sha256"
_SMALL = 2048
"""Tensors of at most as many numbers stay fp32: depthwise kernels, first layers, attention gates, heads."""
_COUNTERS = ".num_batches_tracked"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint file, its fingerprint and its card."""

    path: Path
    sha256: str
    card: Card

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.path.name.removesuffix(SUFFIX)

    @property
    def is_shipped(self) -> bool:
        """Whether it came with the package."""
        return self.path.parent == SHIPPED


def read(path: Path) -> Checkpoint:
    """Return a checkpoint's card without loading its tensors.

    Raises
    ------
    ValueError
        If it is not one of our checkpoints.
    """
    try:
        stat = path.stat()
        card = _card(path, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        raise ValueError(f"There is no checkpoint {path}; check the name.") from None
    except (OSError, SafetensorError, KeyError, ValidationError) as error:
        if isinstance(error, ValidationError) and all(wrong["type"] == "extra_forbidden" for wrong in error.errors()):
            raise ValueError(f"{path.name} was made by a newer version of this program; update to use it.") from error
        raise ValueError(f"{path.name} is not a checkpoint of this program, or it is damaged.") from error
    return Checkpoint(path, _sha256(path, stat.st_mtime_ns, stat.st_size), card)


def save(module: nn.ModuleDict, card: Card, path: Path) -> Checkpoint:
    """Write weights and card, read them back, and return the checkpoint.

    Parameters
    ----------
    module
        What the spec's `build` returned; one entry per stage.
    card
        What it is; its network and scheme must fit the module.
    path
        Where to; written whole or not at all.

    Raises
    ------
    ValueError
        If the path is a checkpoint that came with the package, or the parent of what is to be saved.
    OSError
        If it cannot be written, as on a full disk.
    """
    from safetensors.torch import save_file

    check_free(path, card.parent_sha256)
    tensors = _packed(module, registry.load(card.network))
    told = json.dumps(card.model_dump(mode="json", exclude_defaults=True), sort_keys=True, separators=(",", ":"))
    header = {_HEADER_KEY: told, _SUM_KEY: tensors_sha256(tensors)}
    with written(path) as draft:
        draft.touch()
        mode = draft.stat().st_mode  # as the reader's umask has it; safetensors would keep the file to its owner
        try:
            save_file(tensors, draft, metadata=header)
        except SafetensorError as error:
            raise OSError(f"{path} could not be written; free some space there.") from error
        draft.chmod(mode)
        revived(read(draft))
    return read(path)


def check_free(path: Path, parent_sha256: str = "") -> None:
    """Refuse a file that must not be overwritten: one that came with the package, or a child's own parent.

    Beside the reader's own checkpoints a name that a shipped one has is refused too: by it that one is found.

    Raises
    ------
    ValueError
        If it is one of these, or its name has signs that no list can show, or is none that a file has on every system.
    """
    if not path.name.isprintable():
        raise ValueError(f"A file cannot be called {path.name!r}; choose a name without line breaks and the like.")
    if (device := path.name.split(".")[0].strip()).upper() in _RESERVED:
        raise ValueError(f"On Windows no file can be called {device}; choose another name.")
    if not path.exists():
        _refuse_namesake(path)
        return
    if path.resolve().parent == SHIPPED.resolve():
        raise ValueError(f"{path.name} came with the package and is not overwritten; choose another name.")
    if parent_sha256 and hashlib.sha256(path.read_bytes()).hexdigest() == parent_sha256:
        raise ValueError(f"{path.name} is what the child starts from and is not overwritten; choose another name.")


def _refuse_namesake(path: Path) -> None:
    if path.resolve().parent.name == OWN_FOLDER and (SHIPPED / path.name).exists():
        raise ValueError(f"{path.stem} is the name of weights that came with the package; choose another.")


def revived(checkpoint: Checkpoint) -> nn.ModuleDict:
    """Return the checkpoint's network in fp32, on the CPU, in evaluation mode.

    Raises
    ------
    ValueError
        If the file is gone or damaged, or its tensors do not fit the network that the card names.
    """
    from safetensors.torch import load_file

    card = checkpoint.card
    if not checkpoint.path.exists():
        raise ValueError(f"The weights {checkpoint.name} are gone from {checkpoint.path.parent}; choose others.")
    module = registry.load(card.network).build(card.scheme, card.width)
    try:
        stored = load_file(checkpoint.path)
    except SafetensorError as error:
        raise ValueError(f"{checkpoint.path.name} is damaged; copy it here again, or choose other weights.") from error
    _refuse_damaged(checkpoint.path, stored)
    tensors = {name: t.float() if t.is_floating_point() else t for name, t in stored.items()}
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{checkpoint.path.name} does not fit {card.network} ({card.width}).") from error
    return module.eval()


def _refuse_damaged(path: Path, stored: Mapping[str, Tensor]) -> None:
    """Refuse weights that are no numbers, or not those that were saved; an older file does not say which these were."""
    if not all(bool(tensor.isfinite().all()) for tensor in stored.values()):
        raise ValueError(f"{path.name} is damaged: some of its weights are no numbers; copy it here again.")
    with safe_open(path, framework="numpy") as file:
        meant = (file.metadata() or {}).get(_SUM_KEY, "")
    is_whole = not meant or meant == tensors_sha256(stored)
    if not meant and (listed := listed_sha256(path)):
        is_whole = listed == hashlib.sha256(path.read_bytes()).hexdigest()
    if not is_whole:
        raise ValueError(f"{path.name} is damaged: its weights are not those that were saved; copy it here again.")


def adopt(module: nn.ModuleDict, scheme: tuple[str, ...], parent: Checkpoint) -> None:
    """Start a network from a checkpoint: all its weights, or all but the heads where the classes are others.

    Nothing is relabelled: a head whose classes differ, or only stand in another order, starts anew (common.md §2,
    rules 4 and 5).

    Parameters
    ----------
    module
        What the spec's `build` returned for the scheme, of the checkpoint's network and width; changed in place.
    scheme
        Lesion classes of the module.
    parent
        The checkpoint; its card names its classes.
    """
    stages = registry.load(parent.card.network).stages
    anew = tuple(f"{s.name}.head." for s in stages if s.channels(scheme) != s.channels(parent.card.scheme))
    own = module.state_dict()
    for name, tensor in revived(parent).state_dict().items():
        if not name.startswith(anew):
            own[name].copy_(tensor)


def known(network: str, folder: Path | None = None) -> tuple[Checkpoint, ...]:
    """Return a network's checkpoints: those shipped, then the reader's own in a folder, newest first."""
    return tuple(c for c in _all(folder or home()) if c.card.network == network)


def best_first(folder: Path | None = None) -> tuple[str, ...]:
    """Return the keys of all networks, by the lesion Dice of their first checkpoint; the untrained ones last."""

    def worth(network: str) -> tuple[bool, float]:
        trained = known(network, folder)
        measured = [one.card.measured_dice.get("dice_lesion", 0.0) for one in trained[:1]]
        return not trained, -max(measured, default=0.0)

    return tuple(sorted(registry.available(), key=worth))


def find(network: str, name: str | Path | None = None, folder: Path | None = None) -> Checkpoint:
    """Return a checkpoint by name or file; without one, the network's first, which no gate held back.

    Raises
    ------
    ValueError
        If there is none, or it belongs to another network.
    """
    if name is None:
        from napari_covseg.networks import lineage  # which reads verdicts, and is built on this module

        if (found := lineage.first(network, folder)) is None:
            raise ValueError(f"No trained weights of {network} are at hand; train it with 'covseg train'.")
        return found
    for checkpoint in known(network, folder):
        if checkpoint.name == str(name):
            return checkpoint
    namesakes = () if Path(name).exists() else (one for one in _all(folder or home()) if one.name == str(name))
    checkpoint = next(iter(namesakes), None) or read(Path(name))
    if checkpoint.card.network != network:
        raise ValueError(f"{checkpoint.path.name} holds {checkpoint.card.network}, not {network}.")
    return checkpoint


def fresh_path(network: str, now: datetime, folder: Path | None = None) -> Path:
    """Return a file name for a checkpoint of a network that no other has, among the reader's own."""
    stem = f"{network}-{now:%Y-%m-%d-%H%M%S}"
    return (folder or home()) / OWN_FOLDER / f"{stem}-{secrets.token_hex(2)}{SUFFIX}"


def named_path(name: str, folder: Path | None = None) -> Path:
    """Return the file of a name that a reader gave, among the reader's own.

    Raises
    ------
    ValueError
        If the name is not safe on every system, or is taken.
    """
    name = name.strip().removesuffix(SUFFIX)
    if not _SAFE_NAME.fullmatch(name):
        raise ValueError("A name has letters, digits, '-', '_' or '.', begins with a letter and is at most 64 long.")
    path = (folder or home()) / OWN_FOLDER / f"{name}{SUFFIX}"
    check_free(path)
    if path.exists():
        raise ValueError(f"There is a checkpoint {name} already; choose another name.")
    return path


def left_out(folder: Path | None = None) -> tuple[str, ...]:
    """Return of every file that stands where checkpoints do and cannot be used, why, in a sentence that names it."""
    return tuple(str(found) for _, found in _files(folder or home()) if isinstance(found, ValueError))


def _all(folder: Path) -> Iterator[Checkpoint]:
    for path, found in _files(folder):
        if isinstance(found, ValueError):
            _tell_left_out(str(found), path.stat().st_mtime_ns if path.exists() else 0)
        else:
            yield found


def _files(folder: Path) -> Iterator[tuple[Path, Checkpoint | ValueError]]:
    own = sorted((folder / OWN_FOLDER).glob(f"*{SUFFIX}"), key=lambda p: p.lstat().st_mtime_ns, reverse=True)
    for path in (*sorted(SHIPPED.glob(f"*{SUFFIX}")), *own):
        if path.name.startswith("."):
            continue
        try:
            yield path, read(path)
        except ValueError as error:
            yield path, error


@cache
def _tell_left_out(why: str, _modified_ns: int) -> None:
    """Say so once: the window asks which checkpoints there are whenever it says what can be done."""
    log.warning("%s It is left out of the list.", why)


@cache
def _card(path: Path, _modified_ns: int, _size: int) -> Card:
    """Read a card once: the window asks which checkpoints there are whenever it says what can be done."""
    with safe_open(path, framework="numpy") as tensors:
        header = (tensors.metadata() or {})[_HEADER_KEY]
    card = Card.model_validate_json(header)
    registry.listing(card.network)
    return card


@cache
def _sha256(path: Path, _modified_ns: int, _size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _packed(module: nn.ModuleDict, spec: NetworkSpec) -> dict[str, Tensor]:
    """Return what a file keeps, in half precision where that is harmless.

    How many batches a normalisation has seen is left out, which takes more room to name than to keep: with a fixed
    momentum nothing reads it, and torch counts anew where it is missing.
    """
    exact = tuple(f"{stage.name}.{part}." for stage in spec.stages for part in spec.in_full_precision)

    def stored(name: str, tensor: Tensor) -> Tensor:
        tensor = tensor.detach().cpu().contiguous()
        small = tensor.ndim <= 1 or tensor.numel() <= _SMALL or not tensor.is_floating_point()
        return tensor.clone() if small or name.startswith(exact) else tensor.half()

    kept = {name: tensor for name, tensor in module.state_dict().items() if not name.endswith(_COUNTERS)}
    return {name: stored(name, tensor) for name, tensor in kept.items()}
