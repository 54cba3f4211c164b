"""The tables, as the newest migration leaves them; a test compares the two.

The types and statements are those that SQLite and PostgreSQL share. Times are Unix time in seconds. Keys count up, so
that what is written together stands together on the disk: an index on random ids would cost as much as all the rest.
No secret is kept here, but phone numbers are: in the bodies of webhooks until they are handled and forwarded, and in
the records of calls; and what was said in them, where it is transcribed.

Where several workers write, each row that is more than a note says whose it is: the worker of that number, or, where
there are fewer of them by now, the one that the number leads to modulo their count.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

__all__ = ["REVISION", "calls", "commands", "forwards", "metadata", "segments", "webhooks"]

REVISION: Final = "0004"
"""The newest migration. A database that has it needs none, and so not the time that importing Alembic takes."""

_Key: Final = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER is the row's own number in SQLite

metadata: Final = MetaData()

webhooks: Final = Table(
    "webhooks",
    metadata,
    Column("seq", _Key, primary_key=True, autoincrement=False),
    Column("event_id", String(128), nullable=False),
    Column("received_at", Float, nullable=False),
    Column("attempts", SmallInteger, nullable=False),  # how many processes have begun to handle it
    Column("body", Text),  # null once it is handled: what remains is the id, for duplicates
    Column("worker", SmallInteger, nullable=False, server_default="0"),  # whose it is
)

calls: Final = Table(
    "calls",
    metadata,
    Column("call_control_id", String(512), primary_key=True),
    Column("state", String(32), nullable=False),
    Column("started_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("record", Text, nullable=False),  # JSON, see `CallRecord.freeze`
    Column("worker", SmallInteger, nullable=False, server_default="0"),  # whose it is
)
Index("calls_started_at", calls.c.started_at)

commands: Final = Table(
    "commands",
    metadata,
    Column("seq", _Key, primary_key=True, autoincrement=True),
    Column("command_id", String(128)),  # null for the three commands that have none
    Column("call_control_id", String(512)),  # null for a dial that was refused
    Column("action", String(64), nullable=False),
    Column("sent_at", Float, nullable=False),
    Column("seconds", Float, nullable=False),  # until its last answer
    Column("attempts", Integer, nullable=False),
    Column("status", SmallInteger, nullable=False),  # HTTP status, 0 where no answer came
    Column("code", String(20), nullable=False),  # Telnyx's error code, empty where it was taken
)
Index("commands_call", commands.c.call_control_id)

forwards: Final = Table(
    "forwards",
    metadata,
    Column("seq", _Key, primary_key=True, autoincrement=False),
    Column("event_id", String(128), nullable=False),
    Column("line", String(512), nullable=False),  # what is delivered one after the other: a call
    Column("received_at", Float, nullable=False),
    Column("body", Text, nullable=False),  # a row is deleted once it is delivered, or given up
    Column("worker", SmallInteger, nullable=False, server_default="0"),  # whose it is
)

segments: Final = Table(
    "segments",
    metadata,
    Column("seq", _Key, primary_key=True, autoincrement=True),
    Column("call_control_id", String(512), nullable=False),
    Column("written_at", Float, nullable=False),
    Column("segment", Text, nullable=False),  # JSON, see `Segment.describe`
)
Index("segments_call", segments.c.call_control_id)
Index("segments_written_at", segments.c.written_at)
