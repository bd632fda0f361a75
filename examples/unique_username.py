"""Unique username: a rule over the whole log, with a clock in it.

A name belongs to one account. Closing the account, or taking another name, frees the old one, but only some
days later, so that nobody slips into a name that others still trust. "Nobody has this name" is a fact about
the whole log, not about any one account; a tag makes it a small read, and a read that found nothing guards
the append too.

After https://dcb.events/examples/unique-username/.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

import counterpoint as cp

RETENTION = timedelta(days=3)

NEVER_CLAIMED = datetime.min.replace(tzinfo=UTC)
IN_USE = datetime.max.replace(tzinfo=UTC)

Clock = Callable[[], datetime]


class AccountOpened(cp.Event):
    """An account was registered under a name."""

    username: Annotated[str, cp.Tag("username")]


class AccountClosed(cp.Event):
    """An account was closed."""

    username: Annotated[str, cp.Tag("username")]
    closed_at: datetime


class AccountRenamed(cp.Event):
    """An account took another name: tagged with both, as it matters to whoever wants either."""

    old_username: Annotated[str, cp.Tag("username")]
    new_username: Annotated[str, cp.Tag("username")]
    renamed_at: datetime


class ClaimedUntil(cp.Projection[datetime]):
    """The last moment at which the name is claimed. It asks no clock: that is the decision's part."""

    username: str

    def query(self) -> cp.Query:
        return cp.Query().add_item(
            types=[AccountOpened, AccountClosed, AccountRenamed], tags=[f"username:{self.username}"]
        )

    def init(self) -> datetime:
        return NEVER_CLAIMED

    def apply(self, state: datetime, envelope: cp.Envelope) -> datetime:
        match envelope.event:
            case AccountOpened() | AccountRenamed(new_username=self.username):
                return IN_USE
            case AccountClosed(closed_at=freed_at) | AccountRenamed(renamed_at=freed_at):
                return freed_at + RETENTION
        return state


class UsernameError(Exception):
    """A rule of this example refuses the command."""


class UsernameClaimed(UsernameError):
    """The name is in use, or was until a few days ago."""


class UsernameNotInUse(UsernameError):
    """There is no account of that name."""


class OpenAccount(cp.CommandWithEffect[Clock]):
    """Registers an account under a free name."""

    username: str

    def run(self, ra: cp.ReadAppender, clock: Clock) -> int:
        require_free(self.username, ra.fold(ClaimedUntil(self.username)), clock())
        return ra.append_event(AccountOpened(self.username))


class CloseAccount(cp.CommandWithEffect[Clock]):
    """Closes an account, and so frees its name, some days from now."""

    username: str

    def run(self, ra: cp.ReadAppender, clock: Clock) -> int:
        require_in_use(self.username, ra.fold(ClaimedUntil(self.username)))
        return ra.append_event(AccountClosed(self.username, closed_at=clock()))


class RenameAccount(cp.CommandWithEffect[Clock]):
    """Gives an account another name. The decision depends on both names, and so does its guard."""

    old_username: str
    new_username: str

    def run(self, ra: cp.ReadAppender, clock: Clock) -> int:
        now = clock()
        old, new = ra.fold(ClaimedUntil(self.old_username), ClaimedUntil(self.new_username))
        require_in_use(self.old_username, old)
        require_free(self.new_username, new, now)
        return ra.append_event(AccountRenamed(self.old_username, self.new_username, renamed_at=now))


def require_free(username: str, claimed_until: datetime, now: datetime) -> None:
    """Raises UsernameClaimed unless the name may be taken now."""
    if claimed_until == IN_USE:
        raise UsernameClaimed(f'username "{username}" is claimed')
    if now <= claimed_until:
        raise UsernameClaimed(f'username "{username}" is claimed until {claimed_until:%Y-%m-%d %H:%M} UTC')


def require_in_use(username: str, claimed_until: datetime) -> None:
    """Raises UsernameNotInUse unless an account has the name."""
    if claimed_until != IN_USE:
        raise UsernameNotInUse(f'no account has the username "{username}"')


def main() -> None:
    """Lets a name go, and sees when it can be had again."""
    now = datetime(2025, 1, 1, tzinfo=UTC)
    with cp.open("memory:") as store:
        runner = cp.CommandWithEffectRunner(store, lambda: now)
        runner.run(OpenAccount("clara"))
        runner.run(RenameAccount("clara", "clara_schumann"))
        for days in (0, 3, 4):
            now = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=days)
            try:
                print(f"{days} days later: position {runner.run(OpenAccount('clara'))}")
            except UsernameError as refusal:
                print(f"{days} days later: {refusal}")


if __name__ == "__main__":
    main()
