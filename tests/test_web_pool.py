"""Workers that hang, crash and are killed: what becomes of the request, and that it is only that one."""

import asyncio
import functools
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from odd_jobs import fragile, odd
from voxtrait.errors import WorkerError
from voxtrait.web.errors import RequestError
from voxtrait.web.pool import ATTEMPTS, KILLED, Pool
from voxtrait.web.work import Task


def with_pool(
    size: int, do: Callable[[Pool], Awaitable[Any]], timeout_s: float = 20.0, job: Callable[..., Any] = odd
) -> Any:
    async def run() -> Any:
        pool = Pool(job, size, timeout_s)
        await pool.start()
        try:
            return await do(pool)
        finally:
            await pool.close()

    return asyncio.run(run())


async def until(true: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


def say(word: str) -> Task:
    return Task("predict", word)


async def refusal(pool: Pool, word: str) -> tuple[str, int, str]:
    with pytest.raises(RequestError) as caught:
        await pool.ask(say(word))
    return caught.value.code, caught.value.status, caught.value.message


def test_each_end_of_a_worker_is_told_apart_and_costs_one_request() -> None:
    async def do(pool: Pool) -> None:
        first = (await pool.ask(say("hello"))).value["worker"]
        assert (await refusal(pool, "crash"))[:2] == ("decoder_crashed", 422)
        assert (await refusal(pool, "leave"))[:2] == ("decoder_crashed", 422)
        assert (await refusal(pool, "killed"))[:2] == ("interrupted", 503)
        with pytest.raises(KeyError):
            await pool.ask(say("fail"))
        again = await pool.ask(say("hello"))
        assert again.value["said"] == "hello"
        assert again.value["worker"] != first
        assert dict(pool.replaced) == {"crashed": 3, "killed": 1}
        assert pool.busy == pool.waiting == 0

    with_pool(1, do)


def test_a_hang_is_ended_in_time_and_the_others_never_notice() -> None:
    async def do(pool: Pool) -> None:
        begun = time.monotonic()
        hanging = asyncio.ensure_future(refusal(pool, "hang"))
        answers = [(await pool.ask(say(f"n {n}"))).value["said"] for n in range(20)]
        assert answers == [f"n {n}" for n in range(20)]
        assert not hanging.done()
        assert await hanging == (
            "too_slow", 422, "processing made no progress for 3 s: split the recording",
        )  # fmt: skip
        assert 2.9 < time.monotonic() - begun < 30  # of a minute that it hangs
        assert dict(pool.replaced) == {"late": 1}

    with_pool(2, do, timeout_s=3.0)


def test_the_time_of_a_slow_client_is_not_the_workers() -> None:
    async def do(pool: Pool) -> None:
        async def each(part: Any) -> None:
            await asyncio.sleep(1.8)

        assert (await pool.ask(say("parts 2 0.2 hello"), each)).value["said"] == "hello"
        assert dict(pool.replaced) == {}

    with_pool(1, do, timeout_s=1.5)


def test_parts_come_one_by_one_and_each_begins_the_time_anew() -> None:
    async def do(pool: Pool) -> None:
        found: list[int] = []

        async def each(part: Any) -> None:
            found.append(part["at"])
            await asyncio.sleep(0.2)  # the worker waits, and that is not its own time

        result = await pool.ask(say("parts 8 0.6 hello"), each)
        assert (found, result.value["said"]) == (list(range(8)), "hello")
        assert (await pool.ask(say("parts 3 0 hello"))).value["said"] == "hello"  # nobody wants the parts
        with pytest.raises(RequestError, match=r"^processing made no progress for 4 s: split the recording$"):
            await pool.ask(say("parts 1 0 hang"), each)
        with pytest.raises(RequestError, match="killed"):
            await pool.ask(say("parts 2 0 killed"), each)
        assert found == [*range(8), 0, 0, 1]

    with_pool(1, do, timeout_s=4.0)


def test_a_worker_stops_at_its_next_part_when_nobody_wants_more() -> None:
    async def do(pool: Pool) -> None:
        parts: asyncio.Queue[Any] = asyncio.Queue()
        asked = asyncio.ensure_future(pool.ask(say("parts 100 0.1 hello"), parts.put))
        first = await parts.get()
        asked.cancel()
        begun = time.monotonic()
        again = await pool.ask(say("hello"))  # the only worker, which was free at once and is the same
        assert time.monotonic() - begun < 5  # of the ten seconds that all parts take
        assert again.value["worker"] == first["worker"]

        async def fail(part: Any) -> None:
            raise OSError("the client is gone")

        with pytest.raises(OSError, match="gone"):
            await pool.ask(say("parts 100 0.01 hello"), fail)
        assert (await pool.ask(say("hello"))).value["worker"] == first["worker"]
        assert dict(pool.replaced) == {}

    with_pool(1, do, timeout_s=3.0)


def test_a_worker_killed_while_idle_costs_nothing() -> None:
    async def do(pool: Pool) -> None:
        (before,) = pool.process_ids()
        os.kill(before, signal.SIGKILL)
        await until(lambda: pool.alive == 0)
        assert (await pool.ask(say("hello"))).value["worker"] != before
        assert dict(pool.replaced) == {"idle": 1}

    with_pool(1, do)


def test_workers_killed_while_idle_are_replaced_without_a_request() -> None:
    async def do(pool: Pool) -> None:
        for pid in pool.process_ids():
            os.kill(pid, signal.SIGKILL)
        await until(lambda: pool.alive == 0)
        pool.replace_dead()
        await until(lambda: pool.alive == 2)
        assert dict(pool.replaced) == {"idle": 2}
        assert [(await pool.ask(say("hello"))).code for _ in range(3)] == [None] * 3

    with_pool(2, do)


def test_a_worker_killed_while_it_starts_is_started_again(tmp_path: Path) -> None:
    def kill_next(count: int) -> None:
        for number in range(count):
            (tmp_path / str(number)).touch()

    async def do(pool: Pool) -> None:
        assert dict(pool.replaced) == {"killed": 2}
        kill_next(ATTEMPTS + 1)
        (before,) = pool.process_ids()
        os.kill(before, signal.SIGKILL)
        await until(lambda: pool.alive == 0)
        code, status, message = await refusal(pool, "hello")  # a killed worker is no fault of the server
        assert (code, status) == ("interrupted", 503)
        assert message == f"{KILLED}, or try again"
        assert (await pool.ask(say("hello"))).value["said"] == "hello"
        assert dict(pool.replaced) == {"killed": 2 + ATTEMPTS + 1, "idle": 1}

    kill_next(2)
    with_pool(1, do, job=functools.partial(fragile, tmp_path))
    kill_next(ATTEMPTS)
    with pytest.raises(WorkerError, match="was killed 3 times while it started"):
        with_pool(1, do, job=functools.partial(fragile, tmp_path))


def test_who_waits_too_long_is_sent_away() -> None:
    async def do(pool: Pool) -> None:
        slow = asyncio.ensure_future(pool.ask(say("sleep 1.5")))
        await until(lambda: pool.busy == 1)
        next_one = asyncio.ensure_future(pool.ask(say("sleep 1.5")))
        await until(lambda: pool.waiting == 1)
        assert (await refusal(pool, "hello"))[:2] == ("busy", 503)  # 1.5 s are over, and the second is in work
        assert (await slow).value["said"] == (await next_one).value["said"] == "sleep 1.5"

    with_pool(1, do, timeout_s=2.2)


def test_who_stops_waiting_leaves_no_trace() -> None:
    async def do(pool: Pool) -> None:
        first = asyncio.ensure_future(pool.ask(say("sleep 1")))
        waiting = asyncio.ensure_future(pool.ask(say("hello")))
        await until(lambda: (pool.busy, pool.waiting) == (1, 1))
        waiting.cancel()
        first.cancel()  # … and who leaves a worker at work gets no other request's answer mixed up
        await asyncio.sleep(0)
        assert (await pool.ask(say("next"))).value["said"] == "next"
        assert (pool.busy, pool.waiting) == (0, 0)

    with_pool(1, do)


def test_the_end_takes_no_time() -> None:
    async def do(pool: Pool) -> None:
        hanging = asyncio.ensure_future(refusal(pool, "hang"))
        await until(lambda: pool.busy == 1)
        begun = time.monotonic()
        await pool.close()
        assert (await hanging)[0] == "interrupted"
        assert time.monotonic() - begun < 15  # of the twenty after which it would be ended, and of a minute

    with_pool(1, do)
