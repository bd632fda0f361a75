"""Opt-in token: a sign-up is confirmed once, by whoever can read the mail that was sent.

The code that goes out by mail is a tag of the sign-up, beside the address. Confirming asks for the events
that have *both* tags, and the history itself answers whether the code is right, still good, and not used. No
table of tokens, and what the user filled in first is carried over from the first event into the second.

After https://dcb.events/examples/opt-in-token/.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import counterpoint as cp

GOOD_FOR = timedelta(minutes=60)


class SignUpRequested(cp.Event):
    """Somebody wants an account; a code is on its way to the address."""

    email: Annotated[str, cp.Tag("email")]
    code: Annotated[str, cp.Tag("code")]
    name: str
    requested_at: datetime


class SignUpConfirmed(cp.Event):
    """The code came back: the address is theirs."""

    email: Annotated[str, cp.Tag("email")]
    code: Annotated[str, cp.Tag("code")]
    name: str


SignUpState = SignUpRequested | SignUpConfirmed | None


class SignUp(cp.Projection[SignUpState]):
    """How far a sign-up has come: simply its latest event, if there is any."""

    email: str
    code: str

    def query(self) -> cp.Query:
        return cp.Query().add_item(
            types=[SignUpRequested, SignUpConfirmed], tags=[f"email:{self.email}", f"code:{self.code}"]
        )

    def init(self) -> SignUpState:
        return None

    def apply(self, state: SignUpState, envelope: cp.Envelope) -> SignUpState:
        match envelope.event:
            case SignUpRequested() | SignUpConfirmed() as latest:
                return latest
        return state


class SignUpError(Exception):
    """A rule of this example refuses the command."""


class NoSuchSignUp(SignUpError):
    """No sign-up has this address and this code."""


class AlreadyConfirmed(SignUpError):
    """The code was used before."""


class CodeExpired(SignUpError):
    """The code is too old."""


@dataclass(frozen=True)
class World:
    """What the commands need from outside."""

    send_mail: Callable[[str, str], None]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    new_code: Callable[[], str] = lambda: f"{secrets.randbelow(1_000_000):06}"


class RequestSignUp(cp.CommandWithEffect[World]):
    """Starts a sign-up and returns its code.

    `run` may be repeated, and must leave the world as it is; `effect` comes once, after the event is stored.
    """

    email: str
    name: str

    def run(self, ra: cp.ReadAppender, world: World) -> str:
        code = world.new_code()
        ra.append_event(SignUpRequested(self.email, code, self.name, requested_at=world.clock()))
        return code

    def effect(self, code: str, world: World) -> None:
        world.send_mail(self.email, f"Your code is {code}")


class ConfirmSignUp(cp.CommandWithEffect[World]):
    """Confirms a sign-up by its code, once and in time."""

    email: str
    code: str

    def run(self, ra: cp.ReadAppender, world: World) -> int:
        match ra.fold(SignUp(self.email, self.code)):
            case None:
                raise NoSuchSignUp(f"no sign-up of {self.email} has this code")
            case SignUpConfirmed():
                raise AlreadyConfirmed(f"this code of {self.email} was used already")
            case SignUpRequested(requested_at=at) if world.clock() - at > GOOD_FOR:
                raise CodeExpired(f"this code of {self.email} has expired: ask for a new one")
            case SignUpRequested(name=name):
                return ra.append_event(SignUpConfirmed(self.email, self.code, name))


def main() -> None:
    """Signs up, and confirms twice."""
    with cp.open("memory:") as store:
        world = World(send_mail=lambda email, text: print(f"mail to {email}: {text}"))
        runner = cp.CommandWithEffectRunner(store, world)
        code = runner.run(RequestSignUp("clara@example.com", "Clara"))
        print(f"confirmed at position {runner.run(ConfirmSignUp('clara@example.com', code))}")
        try:
            runner.run(ConfirmSignUp("clara@example.com", code))
        except SignUpError as refusal:
            print(f"once more: {refusal}")


if __name__ == "__main__":
    main()
