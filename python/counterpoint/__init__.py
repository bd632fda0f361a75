"""Counterpoint: an embedded event store with Dynamic Consistency Boundaries.

>>> import counterpoint as cp
>>> store = cp.open("orders")

This module is the one list of public names.
"""

from counterpoint._engine import QueryItem, RawEvent, SequencedEvent, __version__
from counterpoint.backoff import Backoff
from counterpoint.backup import Backup
from counterpoint.command import Command, CommandRunner, CommandWithEffect, CommandWithEffectRunner
from counterpoint.embedded import EmbeddedStore, open  # noqa: A004  reads as cp.open(...)
from counterpoint.envelope import Envelope
from counterpoint.errors import (
    AppendConditionFailed,
    CorruptionError,
    Error,
    EventDecodeError,
    PoisonedError,
    StorageError,
    StoreClosed,
    StoreLocked,
    UnknownEventType,
)
from counterpoint.event import Event, Tag
from counterpoint.projection import OnDemandProjection, Projection
from counterpoint.query import AppendCondition, Query
from counterpoint.read_appender import ReadAppender
from counterpoint.registry import EventRegistry
from counterpoint.store import Read, Store
from counterpoint.subscription import Subscription
from counterpoint.verification import Explanation, Finding, Verification

__all__ = [
    "AppendCondition",
    "AppendConditionFailed",
    "Backoff",
    "Backup",
    "Command",
    "CommandRunner",
    "CommandWithEffect",
    "CommandWithEffectRunner",
    "CorruptionError",
    "EmbeddedStore",
    "Envelope",
    "Error",
    "Event",
    "EventDecodeError",
    "EventRegistry",
    "Explanation",
    "Finding",
    "OnDemandProjection",
    "PoisonedError",
    "Projection",
    "Query",
    "QueryItem",
    "RawEvent",
    "Read",
    "ReadAppender",
    "SequencedEvent",
    "StorageError",
    "Store",
    "StoreClosed",
    "StoreLocked",
    "Subscription",
    "Tag",
    "UnknownEventType",
    "Verification",
    "__version__",
    "decode",
    "encode",
    "open",
    "register",
    "upcaster",
]

# Those of the default registry. In a notebook: list(map(cp.decode, store.read()))
decode = EventRegistry.default().decode
encode = EventRegistry.default().encode
register = EventRegistry.default().register
upcaster = EventRegistry.default().upcaster
