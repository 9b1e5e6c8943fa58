"""Passwords: hashing, verifying, and people who do not exist."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from argon2 import PasswordHasher

from tests.kit.passwords import FakePasswords
from tokenkeep.adapters.passwords import NOBODYS_HASH, Argon2Passwords
from tokenkeep.core.secret import Secret

RIGHT, WRONG = Secret("correct horse"), Secret("battery staple")


@pytest.fixture(params=[Argon2Passwords, FakePasswords], ids=["argon2", "fake"])
def passwords(request):
    return request.param()


async def test_knows_the_right_password(passwords):
    stored = await passwords.hash(RIGHT)
    assert await passwords.verify(stored, RIGHT)
    assert not await passwords.verify(stored, WRONG)


@pytest.mark.parametrize("stored", ["", "no hash", "$argon2id$v=19$broken"])
async def test_no_hash_is_never_right(passwords, stored):
    assert not await passwords.verify(stored, RIGHT)


async def test_argon2_does_not_store_the_password():
    stored = await Argon2Passwords().hash(RIGHT)
    assert stored.startswith("$argon2id$")
    assert RIGHT.reveal() not in stored


def test_nobodys_hash_costs_what_real_ones_cost():
    assert not PasswordHasher().check_needs_rehash(NOBODYS_HASH)


async def test_an_unknown_user_takes_real_work():
    passwords = Argon2Passwords()
    stored = await passwords.hash(RIGHT)

    async def seconds(password_hash):
        took = []
        for _ in range(3):
            began = time.process_time()
            await passwords.verify(password_hash, WRONG)
            took.append(time.process_time() - began)
        return min(took)

    assert await seconds("") > 0.3 * await seconds(stored)


class Gullible(Argon2Passwords):
    """Finds every password right."""

    def _fits(self, password_hash, password):
        return True


async def test_nobody_never_signs_in_whatever_the_hash_says():
    assert await Gullible().verify("x", RIGHT)
    assert not await Gullible().verify("", RIGHT)


class Recorder(Argon2Passwords):
    """Knows how many hashed at once, and in which threads."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.running = self.most = 0
        self.threads: set[int] = set()

    def _fits(self, password_hash, password):
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.threads.add(threading.get_ident())
        time.sleep(0.02)
        with self.lock:
            self.running -= 1
        return False


async def test_at_most_two_at_once_and_never_on_the_loop():
    recorder = Recorder()
    await asyncio.gather(*(recorder.verify("x", RIGHT) for _ in range(8)))
    assert recorder.most == 2
    assert threading.get_ident() not in recorder.threads
