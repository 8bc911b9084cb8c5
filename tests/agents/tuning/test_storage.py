"""Storages of a search: what is refused, and that nothing is written meanwhile."""

import importlib.util
import re
import sqlite3

import optuna
import pytest

from agents.runs.messages import without_password
from agents.tuning import storage
from agents.tuning.storage import check_optuna, check_storage, open_storage, remove_torn_entry, storage_errors
from qrl.common.errors import UsageError

optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trial_in(text: str) -> None:
    study = optuna.create_study(storage=open_storage(text), study_name="a", load_if_exists=True)
    study.tell(study.ask(), 1.0)


@pytest.mark.parametrize("text", ["journal:a/b/search.log", "sqlite:///a/b/search.db"])
def test_a_new_storage_is_created_with_its_folder_and_opened_again(text, folder):
    assert check_storage(text) is False
    assert not list(folder.iterdir())
    trial_in(text)
    assert check_storage(text) is True
    trial_in(text)
    assert len(optuna.load_study(study_name="a", storage=open_storage(text)).trials) == 2


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"epoch,loss\n1,2\n", 1),
        (b"{}\n", 1),
        (b"[1]\n", 1),
        (b'{"op_code":0,"worker_id":"a","study_name":"s","directions":[1]}\nnothing\n', 2),
        (b'{"op_code":true', 1),
        (b"\x80\x04pickled", 1),
    ],
)
def test_journals_of_something_else(content, line, folder):
    (folder / "x.log").write_bytes(content)
    with pytest.raises(
        UsageError, match=rf"^--storage: x.log is no journal of a search, or a damaged one: line {line}$"
    ):
        check_storage("journal:x.log")
    assert (folder / "x.log").read_bytes() == content


def test_a_torn_last_entry_is_left_out(folder):
    trial_in("journal:x.log")
    content = (folder / "x.log").read_bytes()
    for length in range(len(content) - 1, len(content) - 20, -1):
        (folder / "x.log").write_bytes(content[:length])
        assert check_storage("journal:x.log") is True
        assert (folder / "x.log").read_bytes() == content[:length], "a check changes nothing"
        remove_torn_entry("journal:x.log")
        trial_in("journal:x.log")
        states = [
            each.state.name for each in optuna.load_study(study_name="a", storage=open_storage("journal:x.log")).trials
        ]
        assert states == ["RUNNING", "COMPLETE"], "the outcome of the first trial was not written"


def test_a_journal_that_is_refused_by_its_reader(folder):
    (folder / "x.log").write_text('{"op_code":4,"worker_id":"a"}\n')
    check_storage("journal:x.log")
    with pytest.raises(UsageError, match=r"x\.log: no journal of a search, or a damaged one"):
        open_storage("journal:x.log")


def test_databases_of_something_else(folder):
    with sqlite3.connect(folder / "songs.db") as database:
        database.execute("create table songs (title text)")
    database.close()
    before = (folder / "songs.db").read_bytes()
    with pytest.raises(UsageError, match=r"the database is of something else, with 'songs'$"):
        check_storage("sqlite:///songs.db")
    assert (folder / "songs.db").read_bytes() == before
    (folder / "text.db").write_text("text")
    with pytest.raises(UsageError, match=r"cannot be opened: .*file is not a database$"):
        check_storage("sqlite:///text.db")


@pytest.mark.parametrize("text", ["journal:/proc/nothing/x.log", "sqlite:////proc/nothing/x.db"])
def test_a_storage_that_cannot_be_created(text):
    with pytest.raises(UsageError, match="/proc/nothing: No such file or directory"):
        check_storage(text)


def test_a_new_storage_may_have_the_name_of_a_folder_nearby(folder):
    (folder / "search").mkdir()
    assert check_storage("journal:missing/search") is False


def test_half_a_database_is_left_as_it_is(folder):
    with sqlite3.connect(folder / "half.db") as database:
        database.execute("create table studies (study_id integer)")
    database.close()
    before = (folder / "half.db").read_bytes()
    with pytest.raises(UsageError, match=r"the database is of something else, with 'studies'$"):
        check_storage("sqlite:///half.db")
    assert (folder / "half.db").read_bytes() == before


def test_a_database_that_breaks_while_it_is_used(folder):
    trial_in("sqlite:///x.db")
    opened = open_storage("sqlite:///x.db")
    with sqlite3.connect(folder / "x.db") as database:
        database.execute("drop table trials")
    database.close()
    with (
        pytest.raises(UsageError, match=r"^--storage sqlite:///x.db: no longer usable, or damaged: [^\n]*$"),
        storage_errors("sqlite:///x.db"),
    ):
        _ = optuna.load_study(study_name="a", storage=opened).trials


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("studies/x.log", "--storage studies/x.log: expected journal:FILE or the URL of a database, such as "
            "sqlite:///studies/search.db; did you mean journal:studies/x.log?"),
        ("", "--storage : expected journal:FILE"),
        ("journal:", "the name of a file is missing"),
        ("redis://host/0", "--storage redis://host/0: expected journal:FILE"),
        ("sqlite://", "a database in memory ends with its process: give a file"),
        ("sqlite:///:memory:", "a database in memory ends with its process"),
        ("nosuch://me:secret@host/x", "--storage nosuch://me:***@host/x: cannot be opened"),
        ("sqlite+nosuch:///new.db", "cannot be opened: Can't load plugin: sqlalchemy.dialects:sqlite.nosuch"),
        ("journal:/", "the name of a file is missing"),
        ("journal:/tmp", "Is a directory"),
    ],
)  # fmt: skip
def test_what_is_no_storage(text, message, folder):
    with pytest.raises(UsageError, match=re.escape(message)) as raised:
        check_storage(text)
    assert "secret" not in str(raised.value) and "\n" not in str(raised.value)
    assert not list(folder.iterdir())


def test_passwords_are_left_out():
    assert without_password("postgresql://me:secret@host:5432/x?a=b") == "postgresql://me:***@host:5432/x?a=b"
    assert without_password("--storage=mysql+pymysql://a:b%40c@h/x") == "--storage=mysql+pymysql://a:***@h/x"
    assert without_password("journal:a:b@c") == "journal:a:b@c"


def test_without_optuna(monkeypatch):
    check_optuna()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        UsageError, match=r"^tune needs Optuna, which is not installed: pip install 'qrl-meta\[tuning\]'$"
    ):
        check_optuna()


def test_a_lock_that_a_killed_process_has_left_is_released(folder, monkeypatch):
    """Optuna's lock of journals, also of relative paths."""
    trial_in("journal:x.log")
    (folder / "x.log.lock").touch()  # as JournalFileOpenLock leaves it
    opened = open_storage("journal:x.log")
    monkeypatch.setattr(opened._backend._lock, "grace_period", 0.1)
    optuna.create_study(storage=opened, study_name="b")
    assert not (folder / "x.log.lock").exists()


def test_largest_journal(folder, monkeypatch):
    trial_in("journal:x.log")
    monkeypatch.setattr(storage, "LARGEST_RESULT", 10)
    with pytest.raises(UsageError, match="too large for a journal"):
        check_storage("journal:x.log")
