"""What the reader is told when a session was not found as it was left: one sentence each."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise

from napari_covseg.io.sentences import count
from napari_covseg.review.audit import GENESIS, Event
from napari_covseg.review.holder import HEAD_NAME
from napari_covseg.review.journal import Condition, Journal
from napari_covseg.review.replay import Loss
from napari_covseg.review.signing import fingerprint
from napari_covseg.review.standing import Standing
from napari_covseg.review.words import numbers_in_words, slices_named


def sentences(journal: Journal, standing: Standing, loss: Loss | None) -> tuple[str, ...]:
    """Return a sentence for everything the reader should know about the state of her session."""
    condition = journal.condition
    told = [condition.read_only] if condition.read_only else []
    if condition.contradiction and condition.contradiction != condition.read_only:
        told.append(condition.contradiction)
    if loss is not None:
        told.append(_of_loss(loss, condition))
    elif condition.left_by is not None:
        told.append(_of_crash(journal))
    if condition.foreign:
        told.append(
            f"Beside this session lay what another one saved: {condition.foreign}; it was left out, and the label map "
            "is the one that this session's own log tells."
        )
    told += [_of_gap(e) for e in journal.trail if e.kind == "recovery" and e.detail.get("missing")]
    told += [_of_bare(e) for e in journal.trail if e.kind == "recovery" and e.detail.get("bare")]
    told += [_of_replacement(e) for e in journal.trail if e.kind == "recovery" and e.detail.get("replaced")]
    if is_replaced(journal):
        told.append("The log of this session is not the one that was written here last: it was replaced or rewritten.")
    told += [_of_headless(e) for e in journal.trail if e.kind == "recovery" and e.detail.get("headless")]
    if headless(journal):
        told.append(_of_no_head(journal))
    told += [_of_another_log(e) for e in belied(journal)[:1]]
    if _is_another_map(standing):
        told.append("The label map is not the one that was signed; compare it with an export before you rely on it.")
    return tuple(told)


def is_replaced(journal: Journal) -> bool:
    """Whether what lies beside the log tells of another one, and nobody was told of that yet.

    That is the file with the last row's hash, and the snapshots, which hold the hash of the row they were taken after.
    A session has had both from its beginning, so a log without either was brought here from elsewhere or cut.
    """
    trail = journal.trail
    known = max((e.seq for e in trail if e.kind == "recovery" and e.detail.get("replaced")), default=0)
    hashes = {e.seq: e.hash.hex() for e in trail if e.seq > known}
    is_belied = any(hashes.get(each.seq, each.head) != each.head for each in journal.snapshots)
    is_alone = bool(hashes) and not journal.has_witness and not any(e.kind in ("upgrade", "recovery") for e in trail)
    return journal.condition.was_replaced or is_belied or is_alone


def headless(journal: Journal) -> str:
    """Return why nobody can tell how long the log was; empty where somebody can, or the log was replaced altogether."""
    return "" if is_replaced(journal) else journal.condition.headless


def belied(journal: Journal) -> tuple[Event, ...]:
    """Return the signatures that were made on another log: the head they hold is not the hash of the row before."""
    first = [(GENESIS, each) for each in journal.trail[:1] if each.seq == 1]
    pairs = first + [(one.hash, each) for one, each in pairwise(journal.trail) if each.seq == one.seq + 1]
    return tuple(e for digest, e in pairs if e.kind == "sign" and e.detail.get("head", digest.hex()) != digest.hex())


def _of_another_log(event: Event) -> str:
    when = f"{event.time_utc.astimezone():%d %b %Y %H:%M}"
    return (
        f"The log is not the one that {event.reader} signed on {when}: rows before that signature were changed, added "
        "or removed since. Compare it with the signature beside an export."
    )


def _of_replacement(event: Event) -> str:
    when = f"{event.time_utc.astimezone():%d %b %Y %H:%M}"
    return f"On {when} the log of this session was not the one that was written here last: it had been replaced."


def _of_no_head(journal: Journal) -> str:
    why = "is missing" if journal.condition.headless == "missing" else "cannot be read"
    what = f"after {_clock(journal.trail[-1])}" if journal.trail else "in it"
    return (
        f"{HEAD_NAME}, which tells the last entry of this session's log, {why}, so nobody can tell whether anything "
        f"was done {what}; look the session over before you rely on it."
    )


def _of_headless(event: Event) -> str:
    when = f"{event.time_utc.astimezone():%d %b %Y %H:%M}"
    why = "could not be read" if event.detail["headless"] == "unreadable" else "was missing"
    return f"On {when} {HEAD_NAME} of this session {why}; whether anything before was lost is not known."


def _of_loss(loss: Loss, condition: Condition) -> str:
    aside = condition.damage.aside if condition.damage else ""
    kept = f" (the damaged files are kept in {aside})" if aside else ""
    found = f"The journal of this session was damaged and has been put together again{kept}: "
    if condition.read_only:
        found = "The journal of this session is damaged, and what can be read of it is shown: "
    undone = "; what was done before can no longer be undone" if loss.is_history_gone else ""
    if loss.unmarked:
        undone += f"; {slices_named(loss.unmarked)} must be marked reviewed anew"
    if loss.changes:
        since = f" made after {_clock(loss.after)}" if loss.after else ""
        return f"{found}up to {count(loss.changes, 'change')}{since} could not be read and must be made again{undone}."
    changed = condition.damage.changed if condition.damage else ()
    if loss.entries or changed:
        return f"{found}all corrections are there, but {_of_entries(loss.entries, changed, condition)}{undone}."
    if loss.unmarked:
        return f"{found}the labels of {slices_named(loss.unmarked)} are not those that were marked reviewed{undone}."
    return f"{found}nothing was lost{undone}."


def _of_entries(gone: int, changed: tuple[int, ...], condition: Condition) -> str:
    """Return ``2 entries of its log are lost and 1 entry of its log was changed``."""
    missing = condition.damage.missing if condition.damage else ()
    lost = gone - sum(any(low <= seq <= high for low, high in missing) for seq in changed)
    told = [f"{count(lost, 'entry of its log is', 'entries of its log are')} lost"] if lost > 0 else []
    if changed:
        told.append(f"{count(len(changed), 'entry of its log was', 'entries of its log were')} changed")
    return " and ".join(told)


def _of_crash(journal: Journal) -> str:
    if not journal.trail:
        return "CovSeg did not close this session last time; nothing had been changed."
    return f"CovSeg did not close this session last time; everything up to {_clock(journal.trail[-1])} is here."


def _of_gap(event: Event) -> str:
    changed = set(event.detail.get("changed", ()))
    rows = {seq for low, high in event.detail["missing"] for seq in range(low, high + 1)}
    told = [f"{_entries(rows - changed)} missing"] if rows - changed else []
    if changed:
        told.append(f"{_entries(changed)} not as written, and set aside")
    return f"The log has gaps since {event.time_utc.astimezone():%d %b %Y %H:%M}: {'; '.join(told)}."


def _entries(rows: Collection[int]) -> str:
    """Return ``entry 2 is`` or ``entries 2, 5–7 are``."""
    named = numbers_in_words(sorted(rows))
    return f"entry {named} is" if len(rows) == 1 else f"entries {named} are"


def _of_bare(event: Event) -> str:
    bare = event.detail["bare"]
    what = f"{'entry' if len(bare) == 1 else 'entries'} {numbers_in_words(bare)}"
    return f"Since {event.time_utc.astimezone():%d %b %Y %H:%M} the log no longer holds the voxels of {what}."


def _is_another_map(standing: Standing) -> bool:
    if not standing.is_signed or not standing.signatures[-1].labels_sha256:
        return False
    return fingerprint(standing.values) != standing.signatures[-1].labels_sha256


def _clock(event: Event) -> str:
    return f"{event.time_utc.astimezone():%H:%M:%S}"
