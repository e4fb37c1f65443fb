"""Every scan of a folder has a state, a reader and minutes, and no window undoes what another one did."""

import multiprocessing
import platform
import sqlite3
import threading

import numpy as np
import pytest
import sqlalchemy as sa

from napari_covseg.review import ReviewSession
from napari_covseg.review.turn import Turn
from napari_covseg.review.whose_list import NAME_VARIABLE, TABLES
from napari_covseg.review.worklist import FILE_NAME, URL_VARIABLE, Worklist
from tests.io.series import series_in


@pytest.fixture
def scans(tmp_path):
    """Five scans: three files, one of them deeper, a DICOM series and a zipped one; and what is none."""
    folder = tmp_path / "scans"
    (folder / "deeper").mkdir(parents=True)
    for name in (
        "b_ct.nii.gz",
        "A_ct.nii.gz",
        "deeper/c.mha",
        "b_lesion.nii.gz",
        "picture.png",
        ".hidden.nii",
        "notes.txt",
    ):
        (folder / name).write_bytes(b"")
    series_in(folder / "series")
    return folder


@pytest.fixture
def worklist(scans, isolated_home):
    made = Worklist(scans)
    made.look()
    yield made
    made.close()


def names(entries):
    return [entry.name for entry in entries]


def test_looking_takes_in_scans_and_nothing_else_and_only_once(worklist, scans):
    assert names(worklist.entries()) == ["A_ct", "b_ct", "deeper/c", "series"]
    assert {(entry.state, entry.reader, entry.minutes) for entry in worklist.entries()} == {("new", "", 0.0)}
    assert worklist.look() == 0
    (scans / "late.nrrd").write_bytes(b"")
    assert worklist.look() == 1


def test_the_list_is_there_again_tomorrow(worklist, scans, isolated_home):
    worklist.take(scans / "b_ct.nii.gz", "Dr A")
    worklist.close()
    again = Worklist(scans)
    assert [(e.name, e.reader) for e in again.entries(states=("in review",))] == [("b_ct", "Dr A")]
    assert (isolated_home / FILE_NAME).exists()
    again.close()


def test_two_folders_have_two_lists(worklist, tmp_path):
    (tmp_path / "others").mkdir()
    other = Worklist(tmp_path / "others")
    assert other.entries() == ()
    other.close()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no folder .*nowhere"):
        Worklist(tmp_path / "nowhere")


@pytest.mark.parametrize("url", ["nonsense", "oracle+nothing://here", "sqlite:////no/such/place/w.sqlite"])
def test_a_database_that_cannot_be_used_is_said(scans, url):
    with pytest.raises(ValueError, match=f"{URL_VARIABLE}"):
        Worklist(scans, url)


@pytest.fixture
def departments(tmp_path, monkeypatch):
    """A database that a department named by URL."""
    monkeypatch.setenv(URL_VARIABLE, f"sqlite:///{tmp_path / 'shared.sqlite'}")
    monkeypatch.delenv(NAME_VARIABLE, raising=False)


@pytest.fixture
def wards(tmp_path):
    """Two folders of one name, each with a scan of the same name in it."""
    folders = tuple(tmp_path / ward / "CT" for ward in ("ward_a", "ward_b"))
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "case1_ct.nii.gz").write_bytes(b"")
    return folders


def looked_into(folder, **asked):
    worklist = Worklist(folder, **asked)
    worklist.look()
    return worklist


@pytest.mark.usefixtures("departments")
def test_what_one_ward_signed_is_new_in_a_folder_of_the_same_name_on_another(wards):
    first, second = map(looked_into, wards)
    first.sign(wards[0] / "case1_ct.nii.gz", "Anna")
    assert [(entry.state, entry.reader) for entry in second.entries()] == [("new", "")]
    assert second.next("Bob").path == wards[1] / "case1_ct.nii.gz"
    again = Worklist(wards[0])
    assert [(entry.state, entry.reader) for entry in again.entries()] == [("signed", "Anna")]


@pytest.mark.usefixtures("departments")
def test_the_same_path_on_another_computer_is_another_list(wards, monkeypatch):
    looked_into(wards[0]).sign(wards[0] / "case1_ct.nii.gz", "Anna")
    monkeypatch.setattr(platform, "node", lambda: "another-computer")
    assert [entry.state for entry in looked_into(wards[0]).entries()] == ["new"]


@pytest.mark.usefixtures("departments")
@pytest.mark.parametrize("by_variable", [False, True])
def test_a_list_that_was_given_a_name_is_shared_with_other_computers(wards, monkeypatch, by_variable):
    name = "" if by_variable else "chest"
    if by_variable:
        monkeypatch.setenv(NAME_VARIABLE, " chest ")
    here = looked_into(wards[0], name=name)
    here.take(wards[0] / "case1_ct.nii.gz", "Dr A")
    monkeypatch.setattr(platform, "node", lambda: "another-computer")
    there = looked_into(wards[1], name=name)
    (entry,) = there.entries(states=("in review",))
    assert (entry.path, entry.reader, there.name) == (wards[1] / "case1_ct.nii.gz", "Dr A", "chest")
    assert {each.folder for each in there.sharers} == {str(folder) for folder in wards}
    assert {each.computer for each in there.sharers} >= {"another-computer"}


@pytest.mark.usefixtures("departments")
def test_two_folders_of_one_computer_never_share_a_name_but_one_that_moved_keeps_it(wards):
    looked_into(wards[0], name="chest").sign(wards[0] / "case1_ct.nii.gz", "Anna")
    with pytest.raises(ValueError, match=r"“chest” is that of .*ward_a.*give the list of .*ward_b.* another name"):
        Worklist(wards[1], name="chest")
    moved = wards[0].rename(wards[0].with_name("archive"))
    assert [entry.state for entry in looked_into(moved, name="chest").entries()] == ["signed"]
    linked = wards[1].with_name("linked")
    linked.symlink_to(moved)
    assert [entry.state for entry in Worklist(linked, name="chest").entries()] == ["signed"]


@pytest.mark.usefixtures("departments")
def test_a_list_of_an_earlier_version_goes_on_under_the_name_it_had(wards, tmp_path):
    older = sa.create_engine(f"sqlite:///{tmp_path / 'shared.sqlite'}")
    TABLES.tables["covseg_scan"].create(older)  # all that there was
    told = {"reader": "Anna", "seconds": 60.0, "note": "", "changed_utc": "2026-11-01T08:00:00+00:00"}
    with older.begin() as connection:
        signed = {"list": "CT", "path": "case1_ct.nii.gz", "state": "signed"}
        connection.execute(sa.insert(TABLES.tables["covseg_scan"]).values(signed | told))
    for folder in wards:
        own = looked_into(folder)
        assert [entry.state for entry in own.entries()] == ["new"]
        assert own.earlier_name == "CT"  # it may be of either folder: the reader says of which
    named = looked_into(wards[0], name="CT")
    assert [(entry.state, entry.reader) for entry in named.entries()] == [("signed", "Anna")]
    assert named.earlier_name == ""


def test_a_list_of_ones_own_has_no_name(worklist, monkeypatch, scans):
    monkeypatch.setenv(NAME_VARIABLE, "chest")
    mine = Worklist(scans)
    assert (mine.name, mine.sharers, mine.earlier_name, mine.is_departments) == ("", (), "", False)
    assert len(mine.entries()) == len(worklist.entries())


def test_nothing_of_the_patient_is_in_the_database(worklist, isolated_home, scans):
    worklist.take(scans / "series", "Dr A")
    worklist.close()
    content = (isolated_home / FILE_NAME).read_bytes()
    columns = [row[1] for row in sqlite3.connect(isolated_home / FILE_NAME).execute("PRAGMA table_info(covseg_scan)")]
    assert columns == ["id", "list", "path", "state", "reader", "seconds", "note", "changed_utc"]
    from pydicom import dcmread

    header = dcmread(next((scans / "series").iterdir()))
    told = [str(header.get(tag, "")) for tag in ("PatientName", "PatientID", "AccessionNumber", "StudyInstanceUID")]
    assert not any(each.encode() in content for each in told if len(each) > 3)


def test_a_scan_goes_from_new_to_signed_and_back(worklist, scans):
    path = scans / "b_ct.nii.gz"
    assert worklist.take(path, "Dr A").state == "in review"
    assert worklist.take(path, "Dr A").reader == "Dr A"
    assert worklist.sign(path, "Dr A").state == "signed"
    with pytest.raises(ValueError, match="signed by Dr A; only they can put it back"):
        worklist.take(path, "Dr B")
    back = worklist.put_back(path, "Dr A")
    assert (back.state, back.reader) == ("new", "")
    assert worklist.take(path, "Dr B").reader == "Dr B"


def test_what_another_reader_has_is_left_alone(worklist, scans):
    path = scans / "b_ct.nii.gz"
    worklist.take(path, "Dr A")
    for change in (
        lambda: worklist.take(path, "Dr B"),
        lambda: worklist.sign(path, "Dr B"),
        lambda: worklist.reject(path, "Dr B", "motion"),
        lambda: worklist.put_back(path, "Dr B"),
    ):
        with pytest.raises(ValueError, match="Dr A"):
            change()
    assert (worklist.entry(path).state, worklist.entry(path).reader) == ("in review", "Dr A")
    assert worklist.put_back(path, "Dr A").state == "new"


def test_what_another_reader_signed_or_rejected_only_she_puts_back(worklist, scans):
    signed, rejected = scans / "b_ct.nii.gz", scans / "series"
    worklist.sign(signed, "Anna")
    worklist.reject(rejected, "Anna", "motion")
    for path, said in ((signed, "Anna signed b_ct; only they"), (rejected, "Anna rejected series; only they")):
        before = worklist.entry(path)
        with pytest.raises(ValueError, match=said):
            worklist.put_back(path, "Bob")
        assert worklist.entry(path) == before
        assert worklist.put_back(path, " anna").state == "new"


def test_a_name_typed_otherwise_is_the_same_reader_and_stays_as_it_was_first(worklist, scans):
    path = scans / "b_ct.nii.gz"
    worklist.take(path, "J\u00f6rg Wei\u00df")
    typed = " JO\u0308RG  weiss"
    assert worklist.next(typed).path == path
    assert worklist.take(path, typed).reader == "J\u00f6rg Wei\u00df"
    assert worklist.sign(path, typed).reader == "J\u00f6rg Wei\u00df"
    worklist.put_back(path, typed)
    worklist.take(path, typed)
    assert worklist.put_back(path, "j\u00f6rg weiss").state == "new"


def test_a_rejected_scan_says_why(worklist, scans):
    path = scans / "b_ct.nii.gz"
    with pytest.raises(ValueError, match="Say why"):
        worklist.reject(path, "Dr A", " ")
    assert worklist.reject(path, "Dr A", "motion").note == "motion"
    assert names(worklist.entries(search="MOTION dr")) == ["b_ct"]
    assert worklist.put_back(path, "Dr A").note == ""


def test_a_scan_that_is_not_listed_is_named(worklist, tmp_path):
    with pytest.raises(ValueError, match=r"other\.nii is not on the worklist"):
        worklist.take(tmp_path / "other.nii", "Dr A")
    assert worklist.entry(tmp_path / "other.nii") is None


def test_next_is_ones_own_first_and_then_a_new_one(worklist, scans):
    worklist.take(scans / "A_ct.nii.gz", "Dr B")
    assert worklist.next("Dr A").name == "b_ct"
    assert worklist.next("Dr A").name == "b_ct"
    worklist.sign(scans / "b_ct.nii.gz", "Dr A")
    assert worklist.next("Dr A").name == "deeper/c"
    worklist.reject(scans / "deeper" / "c.mha", "Dr A", "no lungs")
    worklist.take(scans / "series", "Dr B")
    assert worklist.next("Dr A") is None


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("name", ["A_ct", "b_ct", "deeper/c", "series"]),
        ("state", ["b_ct", "deeper/c", "series", "A_ct"]),
        ("reader", ["b_ct", "deeper/c", "series", "A_ct"]),
        ("minutes", ["A_ct", "b_ct", "series", "deeper/c"]),
        ("changed", ["b_ct", "deeper/c", "series", "A_ct"]),
    ],
)
def test_sorting(worklist, scans, by, expected):
    worklist.take(scans / "A_ct.nii.gz", "Dr A")
    worklist.spend(scans / "deeper" / "c.mha", 90)
    assert names(worklist.entries(by=by)) == expected
    assert names(worklist.entries(by="name", descending=True)) == ["series", "deeper/c", "b_ct", "A_ct"]


def test_search_wants_every_word(worklist, scans):
    worklist.take(scans / "A_ct.nii.gz", "Dr A")
    assert names(worklist.entries(search="CT")) == ["A_ct", "b_ct"]
    assert names(worklist.entries(search="ct dr")) == ["A_ct"]
    assert names(worklist.entries(search="ct nobody")) == []


def _spend(scans, home, name):
    import os

    os.environ["COVSEG_HOME"] = str(home)
    worklist = Worklist(scans)
    for _ in range(25):
        worklist.spend(scans / "b_ct.nii.gz", 6)
    taken = []
    while (entry := worklist.next(name)) is not None:
        taken.append(entry.name)
        worklist.sign(entry.path, name)
    worklist.close()
    return taken


def test_two_processes_lose_no_update_and_never_take_the_same_scan(worklist, scans, isolated_home):
    for number in range(20):
        (scans / f"more_{number:02}.nii").write_bytes(b"")
    worklist.look()
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        taken = pool.starmap(_spend, [(scans, isolated_home, "Dr A"), (scans, isolated_home, "Dr B")])
    assert worklist.entry(scans / "b_ct.nii.gz").minutes == pytest.approx(5.0)
    assert sorted(taken[0] + taken[1]) == sorted(names(worklist.entries(states=("signed",))))
    assert len(taken[0] + taken[1]) == 24
    signed = {entry.name: entry.reader for entry in worklist.entries()}
    assert all(
        signed[name] == reader for name, reader in [*((n, "Dr A") for n in taken[0]), *((n, "Dr B") for n in taken[1])]
    )


def test_two_windows_that_look_at_once_list_each_scan_once(scans, isolated_home):
    lists = [Worklist(scans) for _ in range(2)]
    ready = threading.Barrier(2)
    threads = [threading.Thread(target=lambda each=each: (ready.wait(), each.look())) for each in lists]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(lists[0].entries()) == ["A_ct", "b_ct", "deeper/c", "series"]
    for each in lists:
        each.close()


@pytest.fixture
def turn(worklist, scans, session):
    told = []
    made = Turn(worklist, session, scans / "b_ct.nii.gz", told.append)
    made.told = told
    yield made
    made.close()


def test_a_session_takes_its_scan_and_tells_when_it_is_signed_and_opened_again(turn, worklist, session, scans):
    path = scans / "b_ct.nii.gz"
    assert (worklist.entry(path).state, worklist.entry(path).reader) == ("in review", "Dr A")
    session.sign()
    assert worklist.entry(path).state == "signed"
    session.reopen()
    assert worklist.entry(path).state == "in review"
    assert turn.told == []


def test_a_session_adds_its_minutes_and_only_its_own(worklist, session, scans, paint, monkeypatch):
    path = scans / "b_ct.nii.gz"
    worklist.spend(path, 60)
    turn = Turn(worklist, session, path, print)
    monkeypatch.setattr(type(session), "minutes", property(lambda _: 2.0))
    turn.close()
    assert worklist.entry(path).minutes == pytest.approx(3.0)


def test_a_scan_that_another_reader_has_is_complained_of_and_read_all_the_same(worklist, session, scans, paint):
    told = []
    worklist.take(scans / "b_ct.nii.gz", "Dr B")
    turn = Turn(worklist, session, scans / "b_ct.nii.gz", told.append)
    assert told == ["Dr B has b_ct in review; take another scan, or ask for this one."]
    assert paint(session, 1) is not None
    turn.close()


def test_a_database_that_is_gone_does_not_stop_the_review(turn, worklist, session, paint, isolated_home):
    worklist.close()
    (isolated_home / FILE_NAME).write_bytes(b"no database any more")
    session.mark_reviewed(1)
    assert "could not be reached" in turn.told[0]
    assert paint(session, 2) is not None


def test_a_session_that_is_only_looked_at_takes_no_scan(worklist, session, scans):
    session.sign()
    looking = ReviewSession.resume(session.folder, "Dr B", read_only="Only looking.")
    Turn(worklist, looking, scans / "b_ct.nii.gz", print).close()
    assert worklist.entry(scans / "b_ct.nii.gz").state == "new"
    assert np.array_equal(looking.labels.values, session.labels.values)
    looking.close()
