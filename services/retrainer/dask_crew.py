"""Processes that fit, on Dask: the same tasks, the same answers as `crew.spread`, for searches that outgrow a machine.

What Dask is asked for is only to call a function on pickled values, so whoever reaches the scheduler can run code on
the workers (and a worker's answer is unpickled here): scheduler and workers belong into a network of their own, or
behind TLS with client certificates (`distributed.comm.tls` of Dask's own configuration).
"""

import asyncio
import logging
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from shared.core.errors import TailraceError, UserError

Task = TypeVar("Task")
TIMEOUT = 10.0
"""Seconds that a scheduler has to answer, and to have a worker."""
ALIKE = ("scikit-learn", "numpy", "msgspec")
"""Distributions whose versions decide what is fitted."""
KEY = "retraining.dask_address"


def spread_on_dask(
    work: Any, tasks: Sequence[Task], do: Callable[[Any, Task], Any], address: str
) -> Generator[tuple[Task, Any], None, None]:
    """Each task with its answer, in the order in which they end. Close it, and nothing of it is left on the cluster.

    Args:
        work: what every task needs; sent to each worker once.
        tasks: what is to be done.
        do: called as `do(work, task)` with one thread; a function of a module that the workers have as well.
        address: of the scheduler; empty: a cluster of this machine, a process a core, gone at the end.

    Raises:
        UserError: the scheduler does not answer, has no worker, or workers have other versions of what fits.
        TailraceError: workers were ended from outside, again and again.
        Exception: what `do` raised.
    """
    dask = _dask()
    with _client(address) as client:
        (shared,) = client.scatter([work], broadcast=True, hash=False)
        futures = {client.submit(_alone, do, shared, task, pure=False): task for task in tasks}
        try:
            for future in dask.as_completed(list(futures), loop=client.loop):
                try:
                    answer = future.result()
                except (dask.KilledWorker, dask.CancelledError) as error:
                    words = f"the search's workers were ended from outside: is there memory enough? ({error})"
                    raise TailraceError(words) from None
                yield futures[future], answer
        finally:
            client.cancel(list(futures))


def _alone(do: Callable[[Any, Any], Any], work: Any, task: Any) -> Any:
    """On a worker: one thread, as in a process of our own, so that equal seeds give equal models."""
    with threadpool_limits(1):
        return do(work, task)


def _dask() -> Any:
    """Its library, which takes a second and has no types."""
    import distributed  # noqa: PLC0415 - only who asks for it waits for it

    return distributed


@contextmanager
def _client(address: str) -> Iterator[Any]:
    dask = _dask()
    logging.getLogger("distributed").setLevel(logging.ERROR)  # what goes wrong is told in one line of ours
    if not address:
        cores = len(os.sched_getaffinity(0))
        with (
            dask.LocalCluster(
                n_workers=cores, threads_per_worker=1, processes=True, host="127.0.0.1",
                dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False}, silence_logs=logging.ERROR,
            ) as cluster,
            dask.Client(cluster, set_as_default=False) as client,
        ):  # fmt: skip
            yield client
        return
    try:
        asyncio.run(asyncio.wait_for(_greet(address), TIMEOUT))
        client = dask.Client(address, timeout=TIMEOUT, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{KEY}: no Dask scheduler answers at {address} ({line[:120]})", remedy="start it, or mend the address"
        ) from None
    with client:
        _check(client, address)
        yield client


async def _greet(address: str) -> None:
    """Hear a word of the scheduler: the client by itself waits for ever for one who takes connections and is silent."""
    dask = _dask()
    security = dask.Security().get_connection_args("client")
    comm = await dask.comm.connect(address, timeout=TIMEOUT, **security)
    comm.abort()


def _check(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=TIMEOUT)
        found = client.run(_versions, on_error="return")
    except TimeoutError:
        raise UserError(f"{KEY}: {address} has no worker", remedy="start workers beside the scheduler") from None
    ours = _versions()
    for worker, theirs in found.items():
        if isinstance(theirs, Exception):
            raise UserError(
                f"{KEY}: worker {worker} cannot import tailrace's code ({type(theirs).__name__})",
                remedy="give workers the same installation",
            )
        for name, have in ours.items():
            if theirs[name] != have:
                raise UserError(
                    f"{KEY}: worker {worker} has {name} {theirs[name]}, here is {have}",
                    remedy="give workers the same versions, else models differ",
                )


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ALIKE}
