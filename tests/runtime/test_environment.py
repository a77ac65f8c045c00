"""Which program, which Python, which variables: looked up in the person's environment, with a sentence when not."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from wattle.runtime.environment import (
    CouldNotStart,
    find_executable,
    interpreter,
    python_environment,
    read_base,
    write_base,
)


def program(path: Path, *, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(mode)
    return path


def conda_environment(prefix: Path) -> Path:
    (prefix / "conda-meta").mkdir(parents=True)
    program(prefix / "bin" / "python")
    return prefix


def kernel(data: Path, name: str, argv0: str, **extra: object) -> None:
    folder = data / "kernels" / name
    folder.mkdir(parents=True)
    argv = [argv0, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (folder / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": name, **extra}))


@contextlib.contextmanager
def ordinary_rights() -> Iterator[None]:
    """Root may enter every folder: be nobody meanwhile."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


# --- executables ------------------------------------------------------------------------------------------------


def test_the_first_executable_along_path_is_taken(tmp_path: Path) -> None:
    first, second = program(tmp_path / "a" / "tool"), program(tmp_path / "b" / "tool")
    assert find_executable("tool", f"{first.parent}:{second.parent}", "/") == str(first)
    assert find_executable("tool", f"{second.parent}:{first.parent}", "/") == str(second)


def test_what_is_not_executable_is_passed_over_for_a_later_one(tmp_path: Path) -> None:
    plain, real = program(tmp_path / "a" / "tool", mode=0o644), program(tmp_path / "b" / "tool")
    assert find_executable("tool", f"{plain.parent}:{real.parent}", "/") == str(real)


def test_a_word_with_a_slash_is_relative_to_the_working_directory(tmp_path: Path) -> None:
    tool = program(tmp_path / "bin" / "tool")
    assert find_executable("bin/tool", "/nowhere", str(tmp_path)) == str(tool)
    assert find_executable("./tool", "/nowhere", str(tool.parent)) == str(tool)
    assert find_executable(str(tool), "", "/") == str(tool)


def test_relative_and_empty_entries_of_path_are_relative_to_the_working_directory(tmp_path: Path) -> None:
    tool = program(tmp_path / "bin" / "tool")
    assert find_executable("tool", "/nowhere:bin", str(tmp_path)) == str(tool)
    assert find_executable("tool", ":/nowhere", str(tool.parent)) == str(tool)


def test_without_any_path_the_systems_own_is_searched() -> None:
    assert Path(find_executable("sh", None, "/")).name == "sh"


def test_a_remembered_executable_that_is_gone_is_looked_for_again(tmp_path: Path) -> None:
    first, second = program(tmp_path / "a" / "tool"), program(tmp_path / "b" / "tool")
    path = f"{first.parent}:{second.parent}"
    assert find_executable("tool", path, "/") == str(first)
    first.unlink()
    assert find_executable("tool", path, "/") == str(second)


def test_a_missing_program_says_where_it_was_looked_for_and_what_is_close(tmp_path: Path) -> None:
    program(tmp_path / "cleanup")
    with pytest.raises(CouldNotStart, match=r"clenup was not found on PATH \(.*\); did you mean cleanup\?"):
        find_executable("clenup", str(tmp_path), "/")
    with pytest.raises(CouldNotStart, match=r"xyzzy was not found on PATH \([^)]*\)$"):
        find_executable("xyzzy", str(tmp_path), "/")
    with pytest.raises(CouldNotStart, match="PATH, which is empty"):
        find_executable("xyzzy", "", str(tmp_path))
    with pytest.raises(CouldNotStart, match="the command is empty"):
        find_executable("", str(tmp_path), "/")


def test_a_program_of_the_working_directory_is_hinted_at_not_run(tmp_path: Path) -> None:
    program(tmp_path / "tool")
    with pytest.raises(CouldNotStart, match=r"\./tool is in the working directory"):
        find_executable("tool", "/nowhere", str(tmp_path))


def test_a_missing_path_is_named_in_full(tmp_path: Path) -> None:
    program(tmp_path / "train.sh")
    with pytest.raises(CouldNotStart) as caught:
        find_executable("./trian.sh", "/bin", str(tmp_path))
    assert str(caught.value) == f"./trian.sh ({tmp_path}/trian.sh) does not exist; did you mean train.sh?"


def test_a_file_without_the_right_to_execute_says_what_mends_it(tmp_path: Path) -> None:
    plain = program(tmp_path / "tool", mode=0o644)
    with pytest.raises(CouldNotStart, match=f"is not executable; chmod \\+x {plain}"):
        find_executable("./tool", "/bin", str(tmp_path))
    with pytest.raises(CouldNotStart, match=f"tool cannot be run: {plain} is not executable"):
        find_executable("tool", str(tmp_path), "/")


def test_a_directory_is_not_a_program(tmp_path: Path) -> None:
    (tmp_path / "tool").mkdir()
    with pytest.raises(CouldNotStart, match="is a directory, not a program"):
        find_executable("./tool", "/bin", str(tmp_path))
    with pytest.raises(CouldNotStart, match=f"tool cannot be run: {tmp_path}/tool is a directory"):
        find_executable("tool", str(tmp_path), "/")


def test_a_folder_without_rights_is_named(tmp_path: Path) -> None:
    tool = program(tmp_path / "closed" / "inner" / "tool")
    tmp_path.chmod(0o755)
    closed = tmp_path / "closed"
    closed.chmod(0)
    try:
        with ordinary_rights(), pytest.raises(CouldNotStart, match="no right to enter the folder /"):
            find_executable(str(tool), "/bin", "/")
        with ordinary_rights(), pytest.raises(CouldNotStart, match=rf"was not found .*no right to enter {tool.parent}"):
            find_executable("tool", str(tool.parent), "/")
    finally:
        closed.chmod(0o755)


# --- a Python environment ---------------------------------------------------------------------------------------


def test_a_venv_puts_its_folder_first_and_names_itself(tmp_path: Path) -> None:
    venv.create(tmp_path / ".venv", with_pip=False)
    base = {"PATH": "/usr/bin:/bin", "PYTHONHOME": "/elsewhere", "HOME": str(tmp_path)}
    delta = python_environment(".venv", base, str(tmp_path))
    assert delta == {
        "PATH": f"{tmp_path}/.venv/bin:/usr/bin:/bin", "VIRTUAL_ENV": f"{tmp_path}/.venv", "PYTHONHOME": "",
    }  # fmt: skip
    assert python_environment("~/.venv", base, "/") == delta
    assert python_environment(str(tmp_path / ".venv" / "bin" / "python"), base, "/") == delta


def test_the_python_that_really_starts_is_the_venvs(tmp_path: Path) -> None:
    venv.create(tmp_path / ".venv", with_pip=False)
    base = {"PATH": os.environ["PATH"], "PYTHONHOME": "/elsewhere"}
    environment = {**base, **python_environment(".venv", base, str(tmp_path))}
    python = find_executable("python", environment["PATH"], str(tmp_path))
    told = subprocess.run([python, "-c", "import sys; print(sys.prefix)"], env=environment, capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert told.stdout.strip() == str(tmp_path / ".venv")


def test_an_environment_already_on_path_is_moved_to_the_front_not_doubled(tmp_path: Path) -> None:
    venv.create(tmp_path / "v", with_pip=False)
    delta = python_environment("v", {"PATH": f"/bin:{tmp_path}/v/bin"}, str(tmp_path))
    assert delta["PATH"] == f"{tmp_path}/v/bin:/bin"


def test_a_bare_interpreter_only_puts_its_folder_first(tmp_path: Path) -> None:
    python = program(tmp_path / "opt" / "bin" / "python3.12")
    assert python_environment(str(python), {"PATH": "/bin"}, "/") == {"PATH": f"{python.parent}:/bin"}


def test_a_missing_environment_says_where_and_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CouldNotStart, match=rf"{tmp_path}/\.venv does not exist; python3 -m venv"):
        python_environment(".venv", {}, str(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CouldNotStart, match=f"{tmp_path}/empty is not a Python environment: it has no bin/python"):
        python_environment("empty", {}, str(tmp_path))
    program(tmp_path / "python", mode=0o644)
    with pytest.raises(CouldNotStart, match="is not executable"):
        python_environment("./python", {}, str(tmp_path))


@pytest.mark.parametrize("where", ["exe", "envs_dirs", "home", "active sibling", "dot conda"])
def test_a_conda_environment_is_found_where_conda_keeps_it(tmp_path: Path, where: str) -> None:
    root = tmp_path / "miniconda3"
    prefix = conda_environment(tmp_path / ".conda" / "envs" / "geo" if where == "dot conda" else root / "envs" / "geo")
    base = {"PATH": "/bin", "VIRTUAL_ENV": "/old", **{
        "exe": {"CONDA_EXE": str(root / "bin" / "conda")},
        "envs_dirs": {"CONDA_ENVS_DIRS": f"/nowhere:{root}/envs"},
        "home": {"HOME": str(tmp_path)},
        "active sibling": {"CONDA_PREFIX": str(root / "envs" / "other")},
        "dot conda": {"HOME": str(tmp_path)},
    }[where]}  # fmt: skip
    assert python_environment("conda:geo", base, "/") == {
        "PATH": f"{prefix}/bin:/bin", "CONDA_PREFIX": str(prefix), "CONDA_DEFAULT_ENV": "geo", "VIRTUAL_ENV": "",
    }  # fmt: skip


def test_the_base_environment_of_conda_is_its_root(tmp_path: Path) -> None:
    root = conda_environment(tmp_path / "miniforge3")
    assert python_environment("conda:base", {"HOME": str(tmp_path)}, "/")["CONDA_PREFIX"] == str(root)


def test_a_missing_conda_environment_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(CouldNotStart, match=rf"no conda environment 'geo'; looked at .*{tmp_path}/miniconda3/envs/geo"):
        python_environment("conda:geo", {"HOME": str(tmp_path)}, "/")


def test_a_kernel_gives_its_interpreter_and_its_variables(tmp_path: Path) -> None:
    venv.create(tmp_path / "geo", with_pip=False)
    kernel(tmp_path / "data", "Geo", str(tmp_path / "geo" / "bin" / "python"), env={"GDAL": "${HOME}/gdal", "N": "1"})
    base = {"PATH": "/bin", "HOME": "/home/ada", "JUPYTER_PATH": f"/nowhere:{tmp_path}/data"}
    assert python_environment("kernel:geo", base, "/") == {
        "PATH": f"{tmp_path}/geo/bin:/bin", "VIRTUAL_ENV": str(tmp_path / "geo"), "GDAL": "/home/ada/gdal", "N": "1",
    }  # fmt: skip


@pytest.mark.parametrize("variable", ["JUPYTER_DATA_DIR", "XDG_DATA_HOME", "HOME", "VIRTUAL_ENV"])
@pytest.mark.skipif(sys.platform != "linux", reason="the data folders of Linux")
def test_kernels_are_found_where_jupyter_finds_them(tmp_path: Path, variable: str) -> None:
    below = {"JUPYTER_DATA_DIR": ".", "XDG_DATA_HOME": "jupyter", "HOME": ".local/share/jupyter",
             "VIRTUAL_ENV": "share/jupyter"}[variable]  # fmt: skip
    python = program(tmp_path / "opt" / "python")
    kernel(tmp_path / below, "geo", str(python))
    delta = python_environment("kernel:geo", {"PATH": "/bin", variable: str(tmp_path)}, "/")
    assert delta["PATH"] == f"{python.parent}:/bin"


def test_a_kernel_that_says_only_python_means_its_own_environments(tmp_path: Path) -> None:
    prefix = conda_environment(tmp_path / "envs" / "geo")
    kernel(prefix / "share" / "jupyter", "python3", "python")
    base = {"PATH": "/bin", "JUPYTER_PATH": str(prefix / "share" / "jupyter")}
    assert python_environment("kernel:python3", base, "/")["CONDA_PREFIX"] == str(prefix)


def test_a_kernel_of_another_language_is_found_on_path(tmp_path: Path) -> None:
    program(tmp_path / "tools" / "R")
    kernel(tmp_path / "data", "ir", "R")
    base = {"PATH": f"/bin:{tmp_path}/tools", "JUPYTER_PATH": str(tmp_path / "data")}
    assert python_environment("kernel:ir", base, "/")["PATH"] == f"{tmp_path}/tools:/bin"


def test_a_missing_or_damaged_kernel_says_so(tmp_path: Path) -> None:
    kernel(tmp_path, "geo", "python")
    base = {"JUPYTER_PATH": str(tmp_path), "HOME": str(tmp_path)}
    with pytest.raises(CouldNotStart, match=rf"no kernel 'goe'; there is .*geo.*; looked in {tmp_path}/kernels"):
        python_environment("kernel:goe", base, "/")
    (tmp_path / "kernels" / "geo" / "kernel.json").write_text('{"argv": []}')
    with pytest.raises(CouldNotStart, match=r"the kernel 'geo' has no readable argv in .*kernel\.json"):
        python_environment("kernel:geo", base, "/")


# --- the base environment of a run ------------------------------------------------------------------------------


def test_the_interpreter_of_a_cell_is_the_file_that_is_named_and_else_the_first_on_path(tmp_path: Path) -> None:
    python = program(tmp_path / "opt" / "bin" / "python3.12")
    base = {"PATH": "/bin", "HOME": str(tmp_path)}
    assert interpreter("opt/bin/python3.12", base, "/bin", str(tmp_path)) == str(python)
    assert interpreter("~/opt/bin/python3.12", base, "/bin", "/") == str(python)
    venv.create(tmp_path / "v", with_pip=False)
    path = python_environment("v", base, str(tmp_path))["PATH"]
    assert interpreter("v", base, path, str(tmp_path)) == str(tmp_path / "v" / "bin" / "python")
    assert interpreter(None, base, f"{tmp_path}/none:{tmp_path}/v/bin", "/") == str(tmp_path / "v" / "bin" / "python")


def test_where_there_is_no_python_there_may_be_a_python3(tmp_path: Path) -> None:
    python = program(tmp_path / "bin" / "python3")
    assert interpreter(None, {}, str(python.parent), "/") == str(python)
    with pytest.raises(CouldNotStart, match=r"python was not found on PATH .*; write python: and the path of the one to use"):
        interpreter(None, {}, "/nowhere", "/")


def test_the_interpreter_of_a_kernel_is_its_own_whatever_it_is_called(tmp_path: Path) -> None:
    python = program(tmp_path / "opt" / "bin" / "python3.13")
    program(tmp_path / "opt" / "bin" / "python")
    kernel(tmp_path / "data", "geo", str(python))
    assert interpreter("kernel:geo", {"JUPYTER_PATH": f"{tmp_path}/data"}, "/bin", "/") == str(python)


def test_a_base_environment_comes_back_as_it_was_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path, variables = tmp_path / "env.json", {"PATH": "/bin", "É": "schön\n", "EMPTY": "", "RAW": "\udcff"}
    write_base(str(path), {"OLD": "1"})
    write_base(str(path), variables)
    assert read_base(str(path)) == variables
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["env.json"]


def test_a_base_environment_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "env.json").mkdir()
    with pytest.raises(OSError, match=r"env\.json"):
        write_base(str(tmp_path / "env.json"), {"A": "1"})
    assert os.listdir(tmp_path) == ["env.json"]


@pytest.mark.parametrize("content", [None, "", "{", "[1]"], ids=["gone", "empty", "cut", "a list"])
def test_a_lost_base_environment_is_said_not_guessed(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "env.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CouldNotStart, match=r"the run's own environment is lost .*start a new"):
        read_base(str(path))
