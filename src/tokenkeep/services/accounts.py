"""People: the first account, signing in, sessions that can be ended.

Owns: one-time sign-in links, passwords, user sessions. Sessions live on our side; the browser holds 256 random bits of
which we keep the SHA-256. Does not own: what a role may do (`core/permissions`), hashing (`Passwords`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from tokenkeep.core.errors import InvalidInput, NotFound, Unauthenticated
from tokenkeep.core.model import User, UserSession
from tokenkeep.core.permissions import ROLES, Caller
from tokenkeep.core.secret import Secret
from tokenkeep.services.ports import AccountStore, Clock, Entropy, Journal, Passwords
from tokenkeep.services.throttle import Throttle

LINK_LIFE = timedelta(hours=1)
SESSION_LIFE, SESSION_IDLE = timedelta(days=14), timedelta(days=2)
TOUCH_EVERY = timedelta(minutes=5)
PASSWORD_MIN, PASSWORD_MAX = 12, 256
FIRST_ADMIN, SIGN_IN = "first_admin", "sign_in"


@dataclass(slots=True, kw_only=True)
class Accounts:
    """Use cases over `AccountStore`."""

    store: AccountStore
    passwords: Passwords
    throttle: Throttle
    clock: Clock
    entropy: Entropy
    journal: Journal

    async def ensure_workspace(self, name: str = "Home") -> str:
        """The oldest workspace, made at the first start. Answers its id."""
        workspaces = await self.store.workspaces()
        if workspaces:
            return workspaces[0][0]
        workspace_id = self.entropy.id()
        await self.store.add_workspace(workspace_id, name, self.clock.now())
        return workspace_id

    async def has_accounts(self) -> bool:
        """Whether anybody has ever signed up."""
        return await self.store.first_admin() is not None

    async def mint_link(self) -> Secret:
        """A one-time sign-in link's secret: whoever runs the service may always get in."""
        secret = self.entropy.token()
        await self.store.add_link(_digest(secret), expires_at=self.clock.now() + LINK_LIFE)
        self.journal.record("sign_in_link_minted")
        return Secret(secret)

    async def link_purpose(self, secret: str) -> str:
        """`first_admin` or `sign_in`. Looks only: mail scanners and prefetchers burn nothing (T37). Raises NotFound."""
        expires_at = await self.store.link_expiry(_digest(secret))
        if expires_at is None or expires_at <= self.clock.now():
            raise NotFound(
                "This sign-in link is used, expired or unknown.", fix="Run `tokenkeep sign-in-link` for another."
            )
        return SIGN_IN if await self.has_accounts() else FIRST_ADMIN

    async def redeem(
        self, secret: str, *, email: str, name: str, password: Secret, browser: str
    ) -> tuple[UserSession, Secret]:
        """Use a link: make the first account, or sign in as it (with a new password when one is given).

        Raises InvalidInput before the link is used up, NotFound.
        """
        purpose = await self.link_purpose(secret)
        if purpose == FIRST_ADMIN:
            _check_account(email=email, name=name, password=password)
        elif password:
            _check_password(password)
        if await self.store.take_link(_digest(secret)) is None:
            raise NotFound("This sign-in link was used a moment ago.")
        user = (
            await self._first_admin(email, name, password)
            if purpose == FIRST_ADMIN
            else await self._known_admin(password)
        )
        self.journal.record("signed_in", user=user.id, by="link")
        return await self._begin(user, browser)

    async def sign_in(self, *, email: str, password: Secret, address: str, browser: str) -> tuple[UserSession, Secret]:
        """Raises Unauthenticated, the same for an unknown address as for a wrong password; Throttled."""
        email = email.strip().casefold()
        subjects = f"account:{email}", f"address:{address}"
        self.throttle.check(*subjects)
        self.throttle.fail(*subjects)  # before the slow check, so that guesses made side by side are counted as well
        user = await self.store.user_by_email(email)
        right = await self.passwords.verify(user.password_hash if user else "", password)
        if user is None or not right:
            self.journal.record("sign_in_failed")
            raise Unauthenticated("The e-mail address or the password is wrong.")
        self.throttle.forget(subjects[0])
        self.throttle.forgive(subjects[1])
        self.journal.record("signed_in", user=user.id, by="password")
        return await self._begin(user, browser)

    async def authenticate(self, cookie: str) -> UserSession:
        """Raises Unauthenticated for an unknown, idle or old session."""
        session = await self.store.session(_digest(cookie)) if 20 <= len(cookie) <= 100 else None
        now = self.clock.now()
        if session is None or session.expires_at <= now or session.seen_at + SESSION_IDLE <= now:
            raise Unauthenticated("You are signed out.", fix="Sign in again.")
        if now - session.seen_at > TOUCH_EVERY:
            await self.store.touch_session(session.digest, now)
        return session

    def caller(self, session: UserSession) -> Caller:
        """What this person may do, by their role now."""
        return Caller(
            workspace_id=session.workspace_id,
            kind="user",
            id=session.user_id,
            name=session.user_name,
            scopes=frozenset(ROLES.get(session.role, frozenset())),
        )

    async def sign_out(self, session: UserSession) -> None:
        """End this session: its cookie is worth nothing from now on."""
        await self.store.end_session(session.digest)
        self.journal.record("signed_out", user=session.user_id)

    async def sessions(self, session: UserSession) -> Sequence[UserSession]:
        """The person's own, the latest first."""
        return await self.store.sessions(session.user_id)

    async def end_session(self, session: UserSession, digest: str) -> None:
        """Raises NotFound for a session of somebody else."""
        if digest not in {own.digest for own in await self.store.sessions(session.user_id)}:
            raise NotFound()
        await self.store.end_session(digest)

    async def end_other_sessions(self, session: UserSession) -> int:
        """End all of the person's sessions but this one. Answers how many."""
        others = [own.digest for own in await self.store.sessions(session.user_id) if own.digest != session.digest]
        for digest in others:
            await self.store.end_session(digest)
        return len(others)

    async def _first_admin(self, email: str, name: str, password: Secret) -> User:
        user = User(
            id=self.entropy.id(),
            email=email.strip().casefold(),
            name=name.strip(),
            password_hash=await self.passwords.hash(password),
            created_at=self.clock.now(),
        )
        await self.store.add_user(user, workspace_id=await self.ensure_workspace(), role="owner")
        return user

    async def _known_admin(self, password: Secret) -> User:
        user = await self.store.first_admin()
        if user is None:
            raise NotFound()
        if password:
            await self.store.set_password(user.id, await self.passwords.hash(password))
            await self.store.end_sessions(user.id)  # whoever signed in with the old one is out
        return user

    async def _begin(self, user: User, browser: str) -> tuple[UserSession, Secret]:
        membership = await self.store.membership(user.id)
        if membership is None:
            raise Unauthenticated("This account belongs to no workspace.")
        now, cookie = self.clock.now(), self.entropy.token()
        session = UserSession(
            digest=_digest(cookie),
            user_id=user.id,
            workspace_id=membership[0],
            role=membership[1],
            user_name=user.name,
            created_at=now,
            seen_at=now,
            expires_at=now + SESSION_LIFE,
            browser=browser[:200],
        )
        await self.store.add_session(session)
        return session, Secret(cookie)


def _digest(secret: str) -> str:
    return sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _check_account(*, email: str, name: str, password: Secret) -> None:
    wrong: dict[str, str] = {}
    local, at, domain = email.strip().partition("@")
    if not local or not at or not domain or len(email) > 254 or not email.isprintable() or " " in email.strip():
        wrong["email"] = "An e-mail address, such as ada@example.com."
    if not name.strip() or len(name) > 100 or not name.isprintable():
        wrong["name"] = "A name of 1 to 100 printable characters."
    if (fault := _password_fault(password)) is not None:
        wrong["password"] = fault
    if wrong:
        raise InvalidInput(fields=wrong)


def _check_password(password: Secret) -> None:
    if (fault := _password_fault(password)) is not None:
        raise InvalidInput(fields={"password": fault})


def _password_fault(password: Secret) -> str | None:
    if len(password) < PASSWORD_MIN:
        return f"At least {PASSWORD_MIN} characters; a few words make a good one."
    return f"At most {PASSWORD_MAX} characters." if len(password) > PASSWORD_MAX else None
