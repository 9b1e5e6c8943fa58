"""Group commit: one transaction for many writes, and to each its own outcome."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tests.kit.databases import migrated_url
from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.store.group import FEW_TOGETHER, MOST_TOGETHER, Group
from tokenkeep.core.errors import Unavailable


class Commits:
    """Runs each batch, as slowly as it is told."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None

    async def __call__(self, batch):
        self.batches.append(len(batch))
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return [work(None) for work in batch]


async def waiting(group: Group, count: int, *, urgent: bool = True) -> list[asyncio.Task[int]]:
    tasks = [
        asyncio.create_task(group.write(lambda _, number=number: number, urgent=urgent)) for number in range(count)
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_what_comes_while_one_commits_goes_together():
    commits = Commits()
    group = Group(commits)
    commits.gate.clear()
    first = await waiting(group, 1)
    rest = await waiting(group, 150)
    commits.gate.set()
    assert await asyncio.gather(*first, *rest) == [0, *range(150)]
    assert commits.batches == [1, MOST_TOGETHER, MOST_TOGETHER, 150 - 2 * MOST_TOGETHER]


async def test_what_is_urgent_goes_first_and_the_rest_holds_it_up_but_shortly():
    commits = Commits()
    group = Group(commits)
    commits.gate.clear()
    first = await waiting(group, 1)
    patient = await waiting(group, 20, urgent=False)
    urgent = await waiting(group, 3)
    commits.gate.set()
    await asyncio.gather(*first, *urgent, *patient)
    assert commits.batches == [1, 3 + FEW_TOGETHER, FEW_TOGETHER, 20 - 2 * FEW_TOGETHER]


async def test_a_write_that_comes_just_as_the_last_one_ends_is_not_forgotten():
    group = Group(Commits())
    for number in range(50):
        async with asyncio.timeout(1):
            assert await group.write(lambda _, number=number: number) == number


async def test_a_failed_commit_is_everybodys():
    commits = Commits()
    group = Group(commits)
    commits.failure = ConnectionError()
    commits.gate.clear()
    tasks = await waiting(group, 4)
    commits.gate.set()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, ConnectionError) for each in told[:1])
    commits.failure = None
    assert await group.write(lambda _: "again") == "again"


async def test_who_hangs_up_disturbs_nobody():
    commits = Commits()
    group = Group(commits)
    commits.gate.clear()
    tasks = await waiting(group, 5)
    tasks[2].cancel()
    commits.gate.set()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert [each for each in told if not isinstance(each, BaseException)] == [0, 1, 3, 4]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def engines(request: pytest.FixtureRequest, tmp_path: Path):
    async with migrated_url(request.param, tmp_path) as url:
        engines = Engines(url)
        yield engines
        await engines.close()


ADD = text("INSERT INTO workspaces (id, name, created_at) VALUES (:id, 'x', (SELECT max(created_at) FROM workspaces))")
FIRST = "INSERT INTO workspaces (id, name, created_at) VALUES ('first', 'x', {})"


async def test_one_refused_write_does_not_take_the_others_with_it(engines: Engines):
    moment = "now()" if engines.dialect == "postgresql" else "1"
    async with engines.write() as connection:
        await connection.execute(text(FIRST.format(moment)))
    names = [f"w{number}" for number in range(20)] + ["first"] + [f"v{number}" for number in range(20)]
    told = await asyncio.gather(
        *(
            engines.grouped(lambda connection, name=name: connection.execute(ADD, {"id": name}).rowcount)
            for name in names
        ),
        return_exceptions=True,
    )
    assert [name for name, each in zip(names, told, strict=True) if isinstance(each, IntegrityError)] == ["first"]
    assert sum(each == 1 for each in told) == 40
    async with engines.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM workspaces"))).scalar_one() == 41


async def test_grouped_and_single_writes_wait_for_each_other(engines: Engines):
    moment = "now()" if engines.dialect == "postgresql" else "1"
    async with engines.write() as connection:
        await connection.execute(text(FIRST.format(moment)))

    async def single(name: str) -> None:
        async with engines.write() as connection:
            await connection.execute(ADD, {"id": name})

    await asyncio.gather(
        *(engines.grouped(lambda connection, name=f"g{n}": connection.execute(ADD, {"id": name})) for n in range(30)),
        *(single(f"s{n}") for n in range(30)),
    )
    async with engines.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM workspaces"))).scalar_one() == 61


async def test_a_lost_database_is_unavailable(tmp_path: Path):
    async with migrated_url("sqlite", tmp_path) as url:
        engines = Engines(url)
        with pytest.raises(Unavailable):
            await engines.grouped(lambda connection: connection.execute(text("SELECT * FROM nothing_there")))
        await engines.close()
