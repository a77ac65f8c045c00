"""Settings with their origins, and the state root that is made or refused."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import unmeasured
from wattle import settings as st
from wattle.core.errors import InvalidRequest, StorageError
from wattle.settings import Settings, file_system, is_network, load, log_root, prepare_home


@pytest.fixture
def person(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody with an empty home and no job clients on PATH."""
    return {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# ---- where values come from -----------------------------------------------------------------------------------------


def test_without_anything_there_are_defaults(tmp_path: Path, person: dict[str, str]) -> None:
    found = load(environ=person)
    assert found.home == tmp_path / ".local/state/wattle"
    assert found.database == str(found.home / "wattle.db")
    assert (found.host, found.port, found.mode, found.on_exit) == ("localhost", 9240, "dependency", "resume")
    assert (found.log_directory, found.zenoh_enabled, found.config) == ("logs/", True, None)
    assert 1 <= found.max_concurrent_workers <= 10
    assert set(found.origins.values()) == {"default"}


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(tmp_path: Path, person: dict[str, str]) -> None:
    file = write(tmp_path / ".config/wattle/config.toml",
                 "[server]\nport = 1\nhost = 'file'\n[execution]\nmax_concurrent_workers = 3\n")  # fmt: skip
    person |= {"WATTLE_HOST": "variable", "WATTLE_PORT": "2"}
    found = load({"port": "4", "host": None}, person)
    assert (found.port, found.host, found.max_concurrent_workers, found.mode) == (4, "variable", 3, "dependency")
    assert {name: found.origins[name] for name in ("port", "host", "max_concurrent_workers", "mode")} == {
        "port": "flag", "host": "WATTLE_HOST", "max_concurrent_workers": str(file), "mode": "default",
    }  # fmt: skip


def test_a_file_that_is_named_replaces_the_persons_own(tmp_path: Path, person: dict[str, str]) -> None:
    write(tmp_path / ".config/wattle/config.toml", "[server]\nport = 1\nhost = 'own'\n")
    named = write(tmp_path / "other.toml", "[server]\nport = 2\n")
    found = load(environ=person, config=str(named))
    assert (found.port, found.host, found.config) == (2, "localhost", named)


def test_the_folders_of_the_desktop_standard_are_used_when_they_are_absolute(person: dict[str, str]) -> None:
    person |= {"XDG_STATE_HOME": "/s", "XDG_CONFIG_HOME": "relative"}
    assert load(environ=person).home == Path("/s/wattle")
    person["XDG_STATE_HOME"] = "relative"
    assert load(environ=person).home == Path(person["HOME"]) / ".local/state/wattle"


@pytest.mark.parametrize(("platform", "tail"), [
    ("darwin", "Library/Application Support/wattle"), ("linux", ".local/state/wattle"),
])  # fmt: skip
def test_each_platform_has_its_place(
    platform: str, tail: str, person: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert load(environ=person).home == Path(person["HOME"]) / tail


def test_a_relative_state_root_is_made_absolute_and_a_tilde_is_the_persons(
    tmp_path: Path, person: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load({"home": "here/../there"}, person).home == tmp_path / "there"
    assert load(environ=person | {"WATTLE_HOME": "~/w"}).home == tmp_path / "w"
    assert load({"home": tmp_path / "x"}, person | {"WATTLE_HOME": "/y"}).home == tmp_path / "x"


def test_nothing_is_read_from_the_working_directory(
    tmp_path: Path, person: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("config.toml", "wattle.toml", "wattle/config.toml"):
        write(tmp_path / "project" / name, "[server]\nport = 1\n")
    monkeypatch.chdir(tmp_path / "project")
    assert load(environ=person).port == 9240


@pytest.mark.parametrize(("given", "mode"), [("DependencyBased", "dependency"), ("Sequential", "sequential"),
                                             ("Parallel", "parallel"), ("parallel", "parallel")])  # fmt: skip
def test_the_modes_of_the_first_wattle_are_understood(given: str, mode: str, person: dict[str, str]) -> None:
    assert load(environ=person | {"WATTLE_MODE": given}).mode == mode


@pytest.mark.parametrize(("word", "meaning"), [("0", False), ("off", False), ("No", False), ("1", True), ("On", True)])
def test_yes_and_no_have_many_words(word: str, meaning: bool, person: dict[str, str]) -> None:
    assert load(environ=person | {"WATTLE_ZENOH_ENABLED": word}).zenoh_enabled is meaning


def test_settings_cannot_be_changed(person: dict[str, str]) -> None:
    assert len(Settings._fields) <= 16
    with pytest.raises(AttributeError):
        load(environ=person).port = 1  # type: ignore[misc]


def test_settings_are_described_with_their_origins_and_without_a_password(person: dict[str, str]) -> None:
    person["WATTLE_DB_URL"] = "postgresql+psycopg://me:secret@db.example/wattle"
    found = load({"port": 1}, person)
    assert found.database_path is None
    assert found.database_exists()
    described = found.described()
    assert described["db_url"] == ["postgresql+psycopg://me:***@db.example/wattle", "WATTLE_DB_URL"]
    assert described["port"] == ["1", "flag"]
    assert "secret" not in str(described)


# ---- what makes no sense --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "told"), [
    ("[server]\nprot = 1\n", ["'prot'", "did you mean 'port'?", "[server]"]),
    ("[sever]\nport = 1\n", ["'sever'", "did you mean 'server'?"]),
    ("port = 1\n", ["'port'"]),
    ("server = 1\n", ["server is 1, not a table", "[server]"]),
    ("[server]\nport = 'many'\n", ["[server] port", "'many'", "0 to 65535"]),
    ("[server]\nport = 70000\n", ["70000", "0 to 65535"]),
    ("[server]\nport = true\n", ["True", "0 to 65535"]),
    ("[server]\nhost = ''\n", ["[server] host", "not empty"]),
    ("[execution]\nmax_concurrent_workers = 0\n", ["max_concurrent_workers", "'auto' or a whole number from 1"]),
    ("[execution]\nmax_concurrent_workers = 1.5\n", ["1.5"]),
    ("[coordinator]\nmode = 'fast'\n", ["'fast'", "dependency, sequential, parallel"]),
    ("[coordinator]\non_exit = 'stop'\n", ["'stop'", "resume, pause"]),
    ("[zenoh]\nenabled = 'perhaps'\n", ["[zenoh] enabled", "true or false"]),
    ("[zenoh]\ntls = 'nowhere'\n", ["[zenoh] tls", "HOST:PORT"]),
    ("[server]\nport = = 1\n", ["line 2"]),
])  # fmt: skip
def test_a_file_that_makes_no_sense_is_told_with_its_name_and_key(
    text: str, told: list[str], tmp_path: Path, person: dict[str, str]
) -> None:
    file = write(tmp_path / "config.toml", text)
    with pytest.raises(InvalidRequest) as caught:
        load(environ=person, config=file)
    sentence = f"{caught.value.message} {caught.value.hint}"
    assert str(file) in caught.value.message
    assert [part for part in told if part not in sentence] == []


def test_a_file_that_is_missing_not_text_or_a_folder_is_told(tmp_path: Path, person: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest, match="There is no settings file"):
        load(environ=person, config=tmp_path / "missing.toml")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        load(environ=person, config=tmp_path)
    (tmp_path / "latin.toml").write_bytes("[server]\nhost = 'ä'".encode("latin-1"))
    with pytest.raises(InvalidRequest, match="byte 17 is not UTF-8"):
        load(environ=person, config=tmp_path / "latin.toml")


@pytest.mark.parametrize(("flags", "variables", "told"), [
    ({"port": "x"}, {}, "port is 'x'"), ({}, {"WATTLE_PORT": "-1"}, "WATTLE_PORT is '-1'"),
    ({"prot": 1}, {}, "'prot'"), ({"home": ""}, {}, "state root"), ({"home": "a\0b"}, {}, "state root"),
    ({}, {"WATTLE_DB_URL": ":memory:"}, "memory"), ({}, {"WATTLE_DB_URL": "sqlite://"}, "memory"),
])  # fmt: skip
def test_a_flag_or_variable_that_makes_no_sense_is_told(
    flags: dict[str, object], variables: dict[str, str], told: str, person: dict[str, str]
) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(told)):
        load(flags, person | variables)


def test_an_empty_variable_is_none(person: dict[str, str]) -> None:
    assert load(environ=person | {"WATTLE_PORT": "", "WATTLE_HOME": ""}).port == 9240


# ---- what depends on the machine ------------------------------------------------------------------------------------


def test_on_a_login_node_few_workers_run_unless_in_a_job_or_told(tmp_path: Path, person: dict[str, str]) -> None:
    client = write(tmp_path / "bin" / "sinfo", "#!/bin/sh\n")
    cores = load(environ=person).max_concurrent_workers
    client.chmod(0o755)
    found = load(environ=person)
    assert found.max_concurrent_workers == 2
    assert "login node (sinfo" in found.notes[0]
    in_a_job = load(environ=person | {"SLURM_JOB_ID": "7"})
    assert in_a_job.max_concurrent_workers == cores
    assert "login node" not in str(in_a_job.notes)
    assert load({"max_concurrent_workers": 64}, person).max_concurrent_workers == 64


@pytest.mark.parametrize(("given", "path"), [
    ("x.db", "{home}/x.db"), ("/abs/x.db", "/abs/x.db"), ("~/x.db", "{person}/x.db"),
    ("sqlite:///x.db", "{home}/x.db"), ("sqlite:////abs/x.db", "/abs/x.db"), ("sqlite:x.db", "{home}/x.db"),
    ("sqlite://x.db", "{home}/x.db"), ("sqlite+pysqlite:////abs/x.db?timeout=3", "/abs/x.db"),
])  # fmt: skip
def test_a_database_is_a_path_below_the_state_root_or_a_url(given: str, path: str, person: dict[str, str]) -> None:
    found = load({"db_url": given, "home": "/h"}, person)
    assert found.database == path.format(home="/h", person=person["HOME"])


def on(monkeypatch: pytest.MonkeyPatch, kinds: dict[str, str]) -> None:
    """A machine with these file systems."""
    monkeypatch.setattr(st, "file_system", lambda path: next(
        (kind for point, kind in sorted(kinds.items(), reverse=True) if str(path).startswith(point)), None,
    ))  # fmt: skip


def test_on_a_network_home_database_and_sockets_are_local_and_it_is_said(
    person: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, {"/": "ext4", "/home": "nfs4"})
    found, other = load({"home": "/home/me/w"}, person), load({"home": "/home/me/v"}, person)
    uid = os.geteuid()
    assert re.fullmatch(rf"/var/tmp/wattle-{uid}/[0-9a-f]{{8}}/wattle\.db", found.database)
    assert re.fullmatch(rf"/tmp/wattle-{uid}/[0-9a-f]{{8}}", str(found.runtime_dir))
    assert found.database != other.database
    assert ["nfs4" in note for note in found.notes] == [True, True]
    assert load({"home": "/home/me/w", "db_url": "/home/me/x.db"}, person).database == "/home/me/x.db"


def test_where_nothing_is_local_the_database_stays_at_home_and_it_is_said(
    person: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, {"/": "nfs"})
    found = load({"home": "/home/me/w"}, person)
    assert found.database == "/home/me/w/wattle.db"
    assert "without a write-ahead log" in found.notes[0]


def test_a_state_root_too_deep_for_a_socket_has_its_sockets_elsewhere(person: dict[str, str]) -> None:
    fits = Path("/" + "x" * (100 - len("/x/run/coordinator.sock") + 1))
    assert load({"home": fits}, person).runtime_dir == fits / "run"
    deep = load({"home": f"{fits}x"}, person)
    assert str(deep.runtime_dir).startswith(f"/tmp/wattle-{os.geteuid()}/")
    assert "too long for a socket" in deep.notes[0]


def test_the_table_of_mounts_is_read_as_the_kernel_writes_it(tmp_path: Path) -> None:
    table = write(tmp_path / "mounts", "\n".join([
        "/dev/sda / ext4 rw 0 0", f"server:/x {tmp_path}/with\\040space nfs4 rw 0 0", f"a {tmp_path}/twice ext4 rw 0 0",
        f"b {tmp_path}/twice autofs rw 0 0", f"b {tmp_path}/twice lustre rw 0 0", "broken",
    ]))  # fmt: skip
    kinds = {name: file_system(tmp_path / name, str(table)) for name in ("with space/a/b", "with space2", "twice", "x")}
    assert kinds == {"with space/a/b": "nfs4", "with space2": "ext4", "twice": "lustre", "x": "ext4"}
    assert file_system(tmp_path, str(tmp_path / "missing")) is None
    (tmp_path / "link").symlink_to(tmp_path / "twice")
    assert file_system(tmp_path / "link" / "y", str(table)) == "lustre"


def test_what_is_shared_with_other_machines_is_known_by_its_type() -> None:
    assert all(map(is_network, ["nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "smb3", "fuse.sshfs", "9p", "ceph"]))
    assert not any(map(is_network, ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "apfs"]))


def test_this_machine_knows_its_own_disks(tmp_path: Path) -> None:
    assert file_system("/proc") == "proc"
    assert file_system(tmp_path)


# ---- the state root -------------------------------------------------------------------------------------------------


def home(tmp_path: Path, **flags: Any) -> Settings:
    settings = load({"home": tmp_path / "h", **flags}, {"HOME": str(tmp_path), "PATH": ""})
    return settings._replace(runtime_dir=settings.home / "run")  # however deep the folder of this test lies


def refusal(settings: Settings) -> StorageError:
    """The error, which must leave everything as it was."""
    def look() -> list[tuple[str, int]]:
        return sorted((str(path), path.lstat().st_mode) for path in settings.home.parent.rglob("*"))

    before = look()
    with pytest.raises(StorageError) as caught:
        prepare_home(settings)
    assert look() == before
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_all_folders_are_made_0700_whatever_the_umask_says(tmp_path: Path, umask: int) -> None:
    settings = home(tmp_path / "a" / "b", db_url="deep/er/x.db")
    before = os.umask(umask)
    try:
        prepare_home(settings)
        prepare_home(settings)
    finally:
        os.umask(before)
    made = {str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*")}
    expected = ("a/b", "a/b/h", "a/b/h/run", "a/b/h/logs", "a/b/h/deep", "a/b/h/deep/er")
    assert made == dict.fromkeys(expected, 0o700)
    assert log_root(settings) == settings.home / "logs"


def test_a_log_folder_may_be_elsewhere(tmp_path: Path) -> None:
    settings = home(tmp_path, log_directory=str(tmp_path / "elsewhere"))
    prepare_home(settings)
    assert log_root(settings) == tmp_path / "elsewhere"
    assert (tmp_path / "elsewhere").is_dir()


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o777])
def test_a_state_root_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    settings = home(tmp_path)
    settings.home.mkdir()
    settings.home.chmod(mode)
    error = refusal(settings)
    assert f"open to other users (mode {mode:o})" in error.message
    assert error.hint == f"chmod 700 {settings.home}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_state_root_of_another_user_is_refused(tmp_path: Path) -> None:
    settings = home(tmp_path)
    settings.home.mkdir(mode=0o700)
    os.chown(settings.home, 12345, -1)
    assert "belongs to another user (uid 12345)" in refusal(settings).message


def test_a_state_root_that_is_a_link_a_file_or_below_a_file_is_refused(tmp_path: Path) -> None:
    settings = home(tmp_path)
    (tmp_path / "real").mkdir(mode=0o700)
    settings.home.symlink_to(tmp_path / "real")
    error = refusal(settings)
    assert "is a symbolic link" in error.message
    assert str(tmp_path / "real") in error.hint
    settings.home.unlink()
    settings.home.write_text("")
    assert "is not a folder" in refusal(settings).message
    assert "Not a directory" in refusal(load({"home": settings.home / "x"}, {"HOME": "/", "PATH": ""})).message


def test_a_state_root_that_cannot_be_made_is_told() -> None:
    settings = load({"home": "/proc/wattle"}, {"HOME": "/", "PATH": ""})
    with pytest.raises(StorageError, match="cannot be made") as caught:
        prepare_home(settings)
    assert "--home" in caught.value.hint


def test_a_read_only_state_root_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = home(tmp_path)
    prepare_home(settings)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "cannot be written: its mode is 700" in refusal(settings).message
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((0, 0, 0, 0, 0, 0, 0, 0, os.ST_RDONLY, 0, 0)))
    assert "its file system is read-only" in refusal(settings).message


def test_a_runtime_folder_in_tmp_is_ours_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = tmp_path / "wattle-0"
    settings = home(tmp_path)._replace(runtime_dir=ours / "abc")
    prepare_home(settings)
    assert stat.S_IMODE(ours.stat().st_mode) == stat.S_IMODE((ours / "abc").stat().st_mode) == 0o700
    ours.chmod(0o777)
    assert f"The folder {ours} is open to other users" in refusal(settings).message
    ours.chmod(0o700)
    (ours / "abc").rmdir()
    (ours / "abc").symlink_to(tmp_path)
    assert f"The folder {ours / 'abc'} is a symbolic link" in refusal(settings).message


def test_settings_cost_little_to_import() -> None:
    code = "import sys, wattle.settings; wattle.settings.load(environ={}); print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=unmeasured())
    heavy = {"msgspec", "dataclasses", "sqlalchemy", "tomllib", "asyncio", "ctypes", "subprocess"}
    assert heavy.isdisjoint(told.stdout.split())


def test_the_way_of_machines_without_unix_sockets_can_be_asked_for(tmp_path: Path, person: dict[str, str]) -> None:
    assert (load(environ=person).supervisor, load(environ=person).door) == ("auto", "auto")
    file = write(tmp_path / "c.toml", "[execution]\nsupervisor = 'off'\n[coordinator]\ndoor = 'tcp'\n")
    found = load(environ=person, config=file)
    assert (found.supervisor, found.door) == ("off", "tcp")
    with pytest.raises(InvalidRequest, match="WATTLE_SUPERVISOR is 'on'"):
        load(environ=person | {"WATTLE_SUPERVISOR": "on"})
