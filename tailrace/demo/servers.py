"""The demo's servers: Kafka and Redis first, and MLflow beside the first training, which needs it last."""

from concurrent.futures import Future, ThreadPoolExecutor

import msgspec

from tailrace.stack.endpoints import Endpoints
from tailrace.stack.ports import LOOPBACK
from tailrace.stack.stack import Stack

FIRST = ("kafka", "redis")


class Servers:
    """An open stack, and MLflow on its way. Its import takes longer than Kafka and Redis together.

    Args:
        stack: open, with `FIRST` up.
        external: servers that already run.
    """

    def __init__(self, stack: Stack, external: Endpoints) -> None:
        address = external.mlflow or f"http://{LOOPBACK}:{stack.port('mlflow')}"
        self.endpoints = msgspec.structs.replace(stack.endpoints, mlflow=address)
        """Where everything is, or will be."""
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="mlflow")
        self._job: Future[Endpoints] = self._pool.submit(stack.ensure, "mlflow")
        self._pool.shutdown(wait=False)

    def wait(self) -> None:
        """Wait until all of them serve.

        Raises:
            UserError: MLflow cannot be brought up.
        """
        self._job.result()
