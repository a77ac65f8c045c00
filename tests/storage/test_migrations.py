"""Two ways to the same tables: made anew from `schema.py`, or migrated step by step from the first version."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event

from tests.storage.builders import launched, run
from wattle.core.errors import StorageError
from wattle.core.records import AttemptRecord, Batch
from wattle.storage import migrations, schema
from wattle.storage.store import open_store

NEXT = """
import os
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{now}"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True))
    op.add_column("runs", sa.Column("note", sa.Text, server_default="none yet"))
    {last}
"""


def shapes(path: Path) -> dict[str, str]:
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {f"{kind} {name}": " ".join(str(sql).split()) for kind, name, sql in found}


def old_store(path: Path) -> None:
    """A database as the first version of Wattle left it."""
    store = open_store(path)
    store.commit(Batch(runs={1: run(1)}, events=[(1, launched())]))
    store.close()


def newer_wattle(folder: Path, monkeypatch: pytest.MonkeyPatch, last: str = "pass") -> None:
    """A Wattle that has one migration more, which ends with the statement `last`."""
    versions = folder / "versions"
    shutil.copytree(migrations.VERSIONS, versions)
    (versions / "v9999_notes.py").write_text(NEXT.format(last=last, now=schema.VERSION))
    monkeypatch.setattr(migrations, "VERSIONS", versions)
    monkeypatch.setattr(schema, "VERSION", "9999")


def test_the_baseline_and_all_migrations_give_exactly_the_tables_of_the_schema(tmp_path: Path) -> None:
    open_store(tmp_path / "new.db").close()
    engine = create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    with engine.begin() as connection:
        migrations.upgrade(connection)
    engine.dispose()
    assert shapes(tmp_path / "migrated.db") == shapes(tmp_path / "new.db")
    with sqlite3.connect(tmp_path / "migrated.db") as found:
        assert found.execute("SELECT version_num FROM alembic_version").fetchall() == [(schema.VERSION,)]
    found.close()


def test_runs_of_the_first_version_are_kept_and_know_nothing_of_their_files(tmp_path: Path) -> None:
    path = tmp_path / "wattle.db"
    old_store(path)
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE run_specs DROP COLUMN contents")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()
    store = open_store(path)
    (found,) = store.unfinished()
    assert (found.spec.id, found.contents) == (1, None)
    store.commit(Batch(contents={1: {"/data/a.csv": "x"}}))
    assert store.unfinished()[0].contents == {"/data/a.csv": "x"}
    store.close()


def test_the_columns_of_attempts_are_the_fields_of_the_record() -> None:
    columns = [column.name.replace("group_name", "group") for column in schema.attempts.columns]
    assert columns == list(AttemptRecord.__struct_fields__)


def test_an_older_database_is_copied_then_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "home" / "wattle.db"
    path.parent.mkdir()
    old_store(path)
    now = schema.VERSION
    newer_wattle(tmp_path, monkeypatch)
    store = open_store(path)
    assert store.last_seq() == 1
    store.close()
    assert "note" in shapes(path)["table runs"]
    assert "view workers" in shapes(path)
    (backup,) = path.parent.glob(f"wattle.db.backup-v{int(now)}-*")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert "note" not in shapes(backup)["table runs"]
    again = open_store(path)
    again.close()
    assert len(list(path.parent.glob("*backup*"))) == 1, "once is enough"


def test_an_older_database_is_not_migrated_by_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "wattle.db"
    old_store(path)
    newer_wattle(tmp_path, monkeypatch)
    with pytest.raises(StorageError, match="older Wattle") as caught:
        open_store(path, read_only=True)
    assert "wattle up" in caught.value.hint
    assert "notes" not in str(shapes(path))


def test_a_migration_that_fails_leaves_the_old_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "wattle.db"
    old_store(path)
    before = shapes(path)
    newer_wattle(tmp_path, monkeypatch, last='op.execute("INSERT INTO nowhere VALUES (1)")')
    with pytest.raises(StorageError):
        open_store(path)
    assert shapes(path) == before
    monkeypatch.undo()
    store = open_store(path)
    assert store.last_seq() == 1
    store.close()


def test_a_migration_that_is_killed_leaves_the_old_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "wattle.db"
    old_store(path)
    before = shapes(path)
    newer_wattle(tmp_path, monkeypatch, last="os.kill(os.getpid(), 9)")
    code = f"""
from pathlib import Path
from wattle.storage import migrations, schema
from wattle.storage.store import open_store
migrations.VERSIONS, schema.VERSION = Path({str(tmp_path / "versions")!r}), "9999"
open_store({str(path)!r})
"""
    ended = subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert ended.returncode == -signal.SIGKILL
    monkeypatch.undo()
    store = open_store(path)
    assert store.last_seq() == 1
    store.close()
    assert shapes(path) == before


def test_a_current_database_does_not_wait_for_alembic(tmp_path: Path) -> None:
    old_store(tmp_path / "wattle.db")
    code = f"""
import sys
from wattle.storage.store import open_store
open_store({str(tmp_path / "wattle.db")!r}).close()
assert "alembic" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.getcwd()})


def test_every_statement_of_a_migration_is_in_the_one_transaction(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}", isolation_level=None)
    said: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: said.append(given[2].split()[0].upper()))
    with engine.begin() as connection:
        migrations.upgrade(connection)
    engine.dispose()
    assert not {"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT"} & set(said)
