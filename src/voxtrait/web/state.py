"""State shared by all requests of a server: recognizer, workers, uploads and limits."""

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
    """State shared by all requests of a server.

    Args:
        recognizer: makes the predictions.
        settings: limits of the server.
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
        self.failure: Exception | None = None  # the reason why the workers could not start
        self._uploads: UploadFolder | None = None
        self._taken = 0

    @property
    def uploads(self) -> UploadFolder:
        """The folder for uploads."""
        assert self._uploads is not None, "uploads are accepted only while the server is running"
        return self._uploads

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Reserve one of the places for uploads within the context.

        Raises:
            RequestError: ``busy`` if all places are taken.
        """
        most = self.settings.most_requests
        if self._taken >= most:
            raise RequestError(
                "busy",
                f"the server is processing the maximum of {most} uploads: try again later",
                retry_s=self.pool.retry_s,
            )
        self._taken += 1
        self.metrics.places.inc()
        try:
            yield
        finally:
            self._taken -= 1
            self.metrics.places.dec()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Start the workers and create the folder for uploads; stop and remove them at the end of the context.

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
        """Remove the folder for uploads if the shutdown did not."""
        if self._uploads is not None:
            self._uploads.close()
