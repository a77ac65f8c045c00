"""The example that `wattle demo` writes: a commented workflow and five scripts, as they lie in `files/`.

Laws: a file that somebody edited is never written over; what is written is what was shipped, byte for byte. The
scripts need a Python and nothing else.
"""

from __future__ import annotations

import os

from wattle.core.errors import Conflict, InvalidRequest

FILES = ("wattle.yaml", "list.py", "parse.py", "imports.py", "chart.py", "report.py")
_SHIPPED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "files")


def write_demo(folder: str) -> int:
    """Write the example into `folder`; returns how many files were new.

    Raises:
        Conflict: a file there is another one, or was edited; nothing was written.
        InvalidRequest: the folder cannot be written to.
    """
    missing, edited = {}, []
    for name in FILES:
        with open(os.path.join(_SHIPPED, name), "rb") as file:
            shipped = file.read()
        try:
            with open(os.path.join(folder, name), "rb") as file:
                if file.read() != shipped:
                    edited.append(name)
        except FileNotFoundError:
            missing[name] = shipped
        except OSError as error:
            raise InvalidRequest(f"{folder} cannot be used: {error.strerror}.", _ELSEWHERE) from error
    if edited:
        raise Conflict(
            f"{', '.join(edited)} in {folder} {'is' if len(edited) == 1 else 'are'} not as the demo wrote "
            f"{'it' if len(edited) == 1 else 'them'}; nothing was overwritten.",
            f"run yours: cd {folder} && wattle run      or a fresh one: wattle demo ANOTHER-FOLDER",
            code="edited",
        )
    try:
        os.makedirs(folder, exist_ok=True)
        for name, shipped in missing.items():
            with open(os.path.join(folder, name), "xb") as file:
                file.write(shipped)
    except OSError as error:
        raise InvalidRequest(f"{folder} cannot be written to: {error.strerror}.", _ELSEWHERE) from error
    return len(missing)


_ELSEWHERE = "give another folder: wattle demo FOLDER"
