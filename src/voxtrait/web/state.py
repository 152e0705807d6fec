"""The state that all requests of one server share: its recogniser, workers, uploads and limits."""

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator

from voxtrait.recognize import Recognizer
from voxtrait.web.errors import RequestError
from voxtrait.web.live import Live
from voxtrait.web.pool import Pool
from voxtrait.web.settings import Settings
from voxtrait.web.upload_folder import UploadFolder
from voxtrait.web.work import Work


class AppState:
    """The state that all requests of one server share.

    Args:
        recognizer: makes the predictions.
        settings: limits.
    """

    def __init__(self, recognizer: Recognizer, settings: Settings) -> None:
        from voxtrait.web.request_log import Metrics

        self.bundle = recognizer.bundle
        self.settings = settings
        self.log = logging.getLogger("voxtrait.web")
        self.metrics = Metrics()
        job = Work(Recognizer(recognizer.bundle, threads=1), settings.max_seconds, settings.worker_memory_bytes)
        self.pool = Pool(job, settings.workers, settings.timeout_s)
        self.live = Live(recognizer, settings, self.metrics)
        self.failure: Exception | None = None  # why the workers could not start
        self._uploads: UploadFolder | None = None
        self._taken = 0

    @property
    def uploads(self) -> UploadFolder:
        """Where uploads go."""
        assert self._uploads is not None, "uploads are taken only between the start and the end of the server"
        return self._uploads

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Occupy one of the places for uploads while the context lasts.

        Raises:
            RequestError: ``busy`` if all are taken.
        """
        most = self.settings.most_requests
        if self._taken >= most:
            raise RequestError("busy", f"{most} uploads are in work: try again later", retry_s=self.pool.retry_s)
        self._taken += 1
        self.metrics.places.inc()
        try:
            yield
        finally:
            self._taken -= 1
            self.metrics.places.dec()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Start the workers and make the folder for uploads; the end of the context stops and removes them.

        Raises:
            WorkerError: if a worker cannot start.
        """
        with UploadFolder(self.settings.folder) as self._uploads:
            try:
                try:
                    await self.pool.start()
                except Exception as error:
                    self.failure = error
                    raise
                yield
            finally:
                self.live.close()
                await self.pool.close()

    def clear(self) -> None:
        """Remove the folder for uploads, if the shutdown of the server did not."""
        if self._uploads is not None:
            self._uploads.close()
