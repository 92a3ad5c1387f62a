"""A pipeline's own generate.py as a function: found in its folder, loaded, asked for a world."""

import runpy
from collections.abc import Callable
from pathlib import Path

from shared.core.errors import UserError
from shared.simulation.world import Request, World

FILE = "generate.py"


def load_simulator(folder: Path) -> Callable[[Request], World]:
    """`simulate(request)` of a pipeline's folder; the same request gives the same world.

    Raises:
        UserError: the folder has no generate.py, or it has no such function; names the file.
    """
    path = folder / FILE
    if not path.is_file():
        remedy = (
            f"write one with simulate(request), or use a pipeline that has one; {folder.name} is replayed from files"
        )
        raise UserError(f"{path}: no such file, so nothing can be generated", remedy=remedy)
    try:
        simulate = runpy.run_path(str(path)).get("simulate")
    except Exception as error:
        what = f"{path}: does not load ({type(error).__name__}: {error})"
        raise UserError(what, remedy="run it by hand and mend it") from error
    if not callable(simulate):
        raise UserError(f"{path}: it has no function simulate(request)", remedy="see shared/simulation/world.py")
    return simulate  # type: ignore[no-any-return] # a file of the pipeline's own is as typed as it likes
