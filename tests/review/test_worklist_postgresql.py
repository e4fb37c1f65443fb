"""A department's PostgreSQL: every statement compiles for it, and on a real one readers never take the same scan."""

import os
import threading

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from napari_covseg.review import worklist as module
from napari_covseg.review.worklist import Worklist

REAL = "COVSEG_TEST_POSTGRESQL"


@pytest.fixture
def scans(tmp_path, isolated_home):
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(12):
        (folder / f"s{number:02d}_ct.nii.gz").write_bytes(b"")
    return folder


def use_everything(worklist, scans):
    first, second, third = sorted(scans.iterdir())[:3]
    assert worklist.look() == 12
    assert worklist.look() == 0
    worklist.take(first, "Dr A")
    assert worklist.next("Dr A").path == first
    worklist.spend(first, 90.0)
    worklist.sign(first, "Dr A")
    with pytest.raises(ValueError, match="is signed by Dr A"):
        worklist.take(first, "Dr B")
    worklist.reject(second, "Dr B", "moved too much")
    worklist.put_back(second, "Dr B")
    worklist.take(third, "Dr C")
    with pytest.raises(ValueError, match="Dr C has"):
        worklist.put_back(third, "Dr D")
    assert worklist.entry(first).minutes == 1.5
    assert [e.name for e in worklist.entries(search="s02", by="reader", descending=True)] == ["s02_ct"]


def test_every_statement_compiles_for_postgresql(scans, monkeypatch):
    said = []
    create = sa.create_engine

    def listened_to(*args, **kwargs):
        engine = create(*args, **kwargs)
        sa.event.listen(engine, "before_execute", lambda _, clause, *__: said.append(clause))
        return engine

    monkeypatch.setattr(module.sa, "create_engine", listened_to)
    worklist = Worklist(scans)
    use_everything(worklist, scans)
    worklist.close()
    compiled = [str(clause.compile(dialect=postgresql.dialect())) for clause in said]
    kinds = {sql.split()[0] for sql in compiled}
    assert {"CREATE", "SELECT", "INSERT", "UPDATE"} <= kinds
    (table,) = [sql for sql in compiled if "CREATE TABLE covseg_scan" in sql]
    assert "id SERIAL NOT NULL" in table
    assert "UNIQUE (list, path)" in table


def test_a_driver_that_is_missing_is_named_with_its_remedy(scans, monkeypatch):
    def missing(*args, **kwargs):
        raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")

    monkeypatch.setattr(module.sa, "create_engine", missing)
    with pytest.raises(
        ValueError, match=r'needs the Python package psycopg; install it with .* "psycopg\[binary\]"'
    ) as told:
        Worklist(scans, "postgresql+psycopg://reader@server/covseg")
    assert "\n" not in str(told.value)


def test_what_a_server_says_is_one_line(scans, monkeypatch):
    def unreached(*args, **kwargs):
        raise sa.exc.OperationalError("SELECT 1", {}, Exception("connection refused\n\tIs the server running?"))

    monkeypatch.setattr(module.TABLES, "create_all", unreached)
    with pytest.raises(ValueError, match=r"cannot be opened \(connection refused\); see that it runs") as told:
        Worklist(scans)
    assert "\n" not in str(told.value)


def test_a_server_is_asked_to_answer_in_time():
    assert module._patience("postgresql+psycopg://r@s/d")["connect_args"] == {"connect_timeout": module.PATIENCE_S}
    assert module._patience("mysql://r@s/d") == {"pool_pre_ping": True}
    assert module._patience("") == module._patience("sqlite:///x") == {"connect_args": {"timeout": module.PATIENCE_S}}


@pytest.mark.skipif(REAL not in os.environ, reason=f"{REAL} names no empty PostgreSQL database")
def test_on_a_real_server_readers_share_a_list_and_take_every_scan_once(scans):
    url, failed, taken = os.environ[REAL], [], []
    with sa.create_engine(url).begin() as connection:
        module.TABLES.drop_all(connection)

    def read(reader):
        try:
            mine = Worklist(scans, url)
            mine.look()
            while entry := mine.next(reader):
                taken.append(entry.name)
                mine.sign(entry.path, reader)
            mine.close()
        except (ValueError, sa.exc.SQLAlchemyError) as error:
            failed.append(error)

    readers = [threading.Thread(target=read, args=(f"Dr {number}",)) for number in range(6)]
    for each in readers:
        each.start()
    for each in readers:
        each.join()
    assert failed == []
    assert sorted(taken) == [f"s{number:02d}_ct" for number in range(12)]
    with sa.create_engine(url).begin() as connection:
        module.TABLES.drop_all(connection)
    worklist = Worklist(scans, url)
    use_everything(worklist, scans)
    worklist.close()
