import asyncio
import contextlib

import pytest

from serving.server.front.single_flight import SingleFlight


def test_work_is_done_once_for_all_concurrent_callers_and_never_too_early():
    begun = []

    async def work():
        begun.append(len(begun))
        number = begun[-1]
        await asyncio.sleep(0.05)
        return number

    async def main():
        ask = SingleFlight(work)
        first = asyncio.create_task(ask())
        await asyncio.sleep(0.01)
        later = [asyncio.create_task(ask()) for _ in range(20)]
        await asyncio.sleep(0.01)
        later[0].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await later[0]
        return [await one for one in (first, *later[1:])]

    assert asyncio.run(main()) == [0] + [1] * 19
    assert begun == [0, 1]


def test_a_failure_reaches_all_and_is_not_kept():
    calls = []

    async def work():
        calls.append(1)
        await asyncio.sleep(0)
        if len(calls) == 1:
            raise OSError("once")
        return "well"

    async def main():
        ask = SingleFlight(work)
        failed = await asyncio.gather(ask(), ask(), return_exceptions=True)
        with pytest.raises(OSError, match="once"):
            raise failed[0]
        return await ask()

    assert asyncio.run(main()) == "well"
