import asyncio

import pytest

from gateway.mailbox import Mailbox


async def test_items_come_in_order_and_the_reader_ends_behind_the_last_one() -> None:
    mailbox: Mailbox[int] = Mailbox(10)
    for item in range(3):
        mailbox.put(item)
    mailbox.close()
    assert [item async for item in mailbox] == [0, 1, 2]
    assert mailbox.dropped == 0


async def test_a_reader_that_waits_is_woken_by_the_next_item() -> None:
    mailbox: Mailbox[str] = Mailbox(10)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(anext(mailbox))
        await asyncio.sleep(0)
        assert not reading.done()
        mailbox.put("hello")
        assert await reading == "hello"
        assert not reading.cancelled()


async def test_a_reader_that_waits_ends_when_the_mailbox_is_closed() -> None:
    mailbox: Mailbox[str] = Mailbox(10)

    async def read() -> list[str]:
        return [item async for item in mailbox]

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read())
        mailbox.put("one")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        mailbox.put("two")
        mailbox.close()
    assert reading.result() == ["one", "two"]


async def test_a_full_mailbox_drops_its_oldest_items_and_counts_them() -> None:
    mailbox: Mailbox[int] = Mailbox(3)
    for item in range(10):
        mailbox.put(item)
    assert mailbox.dropped == 7
    mailbox.close()
    assert [item async for item in mailbox] == [7, 8, 9]


async def test_nothing_gets_in_once_closed() -> None:
    mailbox: Mailbox[int] = Mailbox(3)
    mailbox.close()
    mailbox.put(1)
    mailbox.close()
    with pytest.raises(StopAsyncIteration):
        await anext(mailbox)
    assert mailbox.dropped == 0


async def test_a_second_loop_goes_on_where_the_first_stopped() -> None:
    mailbox: Mailbox[int] = Mailbox(10)
    for item in range(4):
        mailbox.put(item)
    mailbox.close()
    async for item in mailbox:
        if item == 1:
            break
    assert [item async for item in mailbox] == [2, 3]


async def test_of_a_full_mailbox_what_is_expendable_goes_first() -> None:
    mailbox: Mailbox[int | str] = Mailbox(4, expendable=int)
    for item in ("key", 1, 2, "mark", 3, 4, "over"):
        mailbox.put(item)
    mailbox.close()
    assert [item async for item in mailbox] == ["key", "mark", 4, "over"]
    assert mailbox.dropped == 3


async def test_where_nothing_is_expendable_the_oldest_goes() -> None:
    mailbox: Mailbox[int | str] = Mailbox(2, expendable=int)
    for item in ("one", "two", "three"):
        mailbox.put(item)
    mailbox.close()
    assert [item async for item in mailbox] == ["two", "three"]
