"""What mypy must understand of stores, events and registries, and what it must refuse."""

import asyncio
import os
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, assert_type
from uuid import UUID

import counterpoint as cp
from counterpoint import recovery


class Paid(cp.Event):
    event_type: ClassVar[str] = "paid"
    former_types: ClassVar[tuple[str, ...]] = ("settled",)
    order: Annotated[str, cp.Tag("order")]
    cents: int = 0


class Bare(cp.Event):
    event_type = "bare"

    def tags(self) -> list[str]:
        return [*super().tags(), "bare"]


def events() -> None:
    assert_type(Paid("o1").order, str)
    assert_type(Paid(order="o1", cents=3).cents, int)

    Paid()  # type: ignore[call-arg]
    Paid("o1", "much")  # type: ignore[arg-type]
    Paid("o1").cents = 5  # type: ignore[misc]


def stores(path: os.PathLike[str], raw: cp.RawEvent, condition: cp.AppendCondition) -> None:
    store = cp.open(path, durability="os", sync_interval=0.1)
    assert_type(store, cp.EmbeddedStore)
    any_store: cp.Store = store
    assert_type(store.append([raw]), int)
    assert_type(any_store.append((raw for _ in "ab"), condition), int)
    assert_type(any_store.append([raw], [condition, condition]), int)
    assert_type(any_store.head(), int)
    assert_type(any_store.wait(3, timeout=0.5), int)
    assert_type(any_store.get_cursor("c"), int)
    assert_type(any_store.set_cursor("c", 3, expected=2), bool)
    read: cp.Read = store.read()
    assert_type(any_store.read(cp.Query.all(), after=1, until=2, reverse=True, limit=3), cp.Read)
    assert_type(read.head, int)
    assert_type([event.data for event in read], list[bytes])
    with cp.open("memory:") as entered:
        assert_type(entered, cp.EmbeddedStore)

    cp.open(path, durability="never")  # type: ignore[arg-type]
    cp.open(3)  # type: ignore[arg-type]
    store.append([Paid("o1")])  # type: ignore[list-item]
    store.append([raw], cp.Query.all())  # type: ignore[arg-type]
    store.read("order:o1")  # type: ignore[arg-type]


def verifications(store: cp.EmbeddedStore) -> None:
    result = store.verify(lambda done, total: print(done / total))
    assert_type(result, cp.Verification)
    assert_type(result.ok, bool)
    assert_type([finding.position for finding in result.findings], list[int | None])
    why = store.why(3)
    assert_type(why, cp.Explanation)
    assert_type([why.seen(condition) for condition in why.conditions], list[cp.Read])

    store.verify(lambda done: None)  # type: ignore[arg-type,misc]
    store.why("3")  # type: ignore[arg-type]
    result.head = 3  # type: ignore[misc]


def backups(store: cp.EmbeddedStore, path: os.PathLike[str]) -> None:
    made = store.backup(path, copy=True, verify=True)
    assert_type(made, cp.Backup)
    assert_type(made.head, int)
    assert_type(made.verification, cp.Verification | None)

    store.backup(3)  # type: ignore[arg-type]
    store.backup(path, True)  # type: ignore[call-arg]
    made.head = 3  # type: ignore[misc]


def recoveries(path: os.PathLike[str]) -> None:
    found = recovery.inspect(path, progress=lambda done, total: print(done / total))
    assert_type(found, recovery.Inspection)
    assert_type(found.cursors, dict[str, int] | None)
    assert_type([damage.position for damage in found.damages], list[int | None])
    salvaged = recovery.salvage("damaged", path)
    assert_type(salvaged.inspection, recovery.Inspection)
    assert_type(salvaged.verification, cp.Verification)

    recovery.salvage(path)  # type: ignore[call-arg]
    found.head = 3  # type: ignore[misc]


async def asynchronous_appends(raw: cp.RawEvent, condition: cp.AppendCondition) -> None:
    store = cp.open("memory:")
    any_store: cp.Store = store
    assert_type(await store.append_async([raw]), int)
    assert_type(store.append_async([raw]), asyncio.Future[int])
    assert_type(await any_store.append_async((raw for _ in "ab"), condition), int)
    assert_type(await any_store.append_async([raw], [condition, condition]), int)
    assert_type(await asyncio.gather(*[any_store.append_async([raw]) for _ in "ab"]), list[int])

    await store.append_async([Paid("o1")])  # type: ignore[list-item]
    await store.append_async([raw], cp.Query.all())  # type: ignore[arg-type]


async def subscriptions(store: cp.Store) -> None:
    subscription = store.subscribe(cp.Query.all(), after=3)
    assert_type(subscription, cp.Subscription)
    assert_type(subscription.try_next(), cp.SequencedEvent | None)
    with subscription as entered:
        for event in entered:
            assert_type(event, cp.SequencedEvent)
    async with subscription as entered:
        async for event in entered:
            assert_type(event, cp.SequencedEvent)


def queries(event: cp.SequencedEvent, envelope: cp.Envelope) -> None:
    query = cp.Query().add_item(types=[Paid, "name"], tags=["order:o1"]).after(1).until(9).limit(2).reverse()
    assert_type(query, cp.Query)
    assert_type(query.matches(event), bool)
    assert_type(query.matches(envelope), bool)

    cp.Query().add_item(types=[1])  # type: ignore[list-item]
    cp.Query().limit("2")  # type: ignore[arg-type]
    cp.AppendCondition("o1")  # type: ignore[arg-type]


def envelopes(envelope: cp.Envelope[Paid], other: cp.Envelope) -> None:
    assert_type(envelope.event, Paid)
    assert_type(other.event, Any)
    assert_type(envelope.recorded_datetime, datetime)
    assert_type(envelope.id, UUID | None)

    envelope.position = 5  # type: ignore[misc]


registry = cp.EventRegistry()


@registry.register
@dataclass
class Bought:
    order: str


@cp.register(type="sold", former_types=["given"], tags=lambda event: [event.order])
@dataclass
class Sold:
    order: str


@registry.upcaster("sold")
def upcast(data: dict[str, Any]) -> dict[str, Any]:
    return data


@registry.upcaster("sold")  # type: ignore[type-var]
def wrong_upcast(data: str) -> int:
    return 1


def registries() -> None:
    assert_type(Bought("o1"), Bought)
    assert_type(Sold("o1").order, str)
    assert_type(upcast({}), dict[str, Any])
    assert_type(registry.encode(Sold("o1"), b"metadata"), cp.RawEvent)
    assert_type(registry.lookup("sold"), type[Any])
    assert_type(cp.EventRegistry.default(), cp.EventRegistry)

    registry.register("sold")  # type: ignore[call-overload]


def errors(error: cp.AppendConditionFailed, unknown: cp.UnknownEventType) -> None:
    assert_type(error.position, int)
    assert_type(error.condition, cp.AppendCondition)
    assert_type(error.attempts, int)
    assert_type(unknown.position, int | None)
