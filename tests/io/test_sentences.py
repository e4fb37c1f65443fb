"""Whoever meets an error is told what to do about it, in the window as on the command line."""

import errno

import pytest
from pydantic import ValidationError

from napari_covseg.io.sentences import count, sentence_of
from napari_covseg.networks import Card


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("One sentence."), "One sentence."),
        (KeyError("There is no network 'x'."), "There is no network 'x'."),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x/y"),
            "You may not read or write /x/y; ask its owner for the permission, or copy it.",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full; make room on it and try again."),
        (
            OSError(errno.ENOSPC, "No space left on device", "/x/y"),
            "The disk /x/y lies on is full; make room on it and try again.",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "/x/y"),
            "/x/y: No such file or directory; check the path and that it may be read and written.",
        ),
        (
            OSError(errno.EIO, "Input/output error"),
            "Input/output error; check the path and that it may be read and written.",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "/x/y"),
            "/x/y is on a disk that can only be read; choose another place.",
        ),
        (
            FileExistsError(errno.EEXIST, "File exists", __file__),
            f"{__file__} is a file and not a folder; choose another place.",
        ),
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", f"{__file__}/x/y"),
            f"{__file__} is a file and not a folder; choose another place.",
        ),
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "/x/y"),
            "/x/y: Not a directory; check the path and that it may be read and written.",
        ),
        (OSError("It was not saved."), "It was not saved."),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "'utf-8' codec can't decode byte 0xff"),
        (ValueError(), "That did not work (ValueError: ); look here."),
        (ZeroDivisionError("division by zero"), "That did not work (ZeroDivisionError: division by zero); look here."),
    ],
)
def test_every_error_is_a_sentence(error, said):
    assert sentence_of(error, "look here.").startswith(said)


@pytest.mark.parametrize(
    ("scheme", "said"),
    [
        (("lung",), "Its classes (lung) are not some of "),
        (5, "That did not work (Input should be a valid tuple); look here."),
    ],
)
def test_what_a_check_refuses_is_told_without_the_words_of_the_library_around_it(scheme, said):
    with pytest.raises(ValidationError, match="validation error for Card") as refused:
        Card(network="res_att_unet", width="compact", scheme=scheme, trained_on="nobody")
    told = sentence_of(refused.value, "look here.")
    assert told.startswith(said)
    assert "\n" not in told


@pytest.mark.parametrize(
    ("number", "others", "said"),
    [(0, (), "0 slices"), (1, (), "1 slice"), (2, (), "2 slices"), (1, ("dice",), "1 slice"), (2, ("dice",), "2 dice")],
)
def test_things_are_counted_with_the_plural_where_it_is_due(number, others, said):
    assert count(number, "slice", *others) == said
