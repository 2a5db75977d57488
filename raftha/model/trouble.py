"""The problems that a node can tell of, each by the word under which the runbook speaks of it.

Words are for good: people look for them, and alerts may name them. `docs/runbook.md` has one
heading for each (a test compares both), and the status prints it beside the problem.
"""

from __future__ import annotations

from enum import StrEnum


class Trouble(StrEnum):
    """Why a notice is there, whatever its words say of this one case."""

    ACT_FAILED = "act-failed"
    AGENT_RESTART_PENDING = "agent-restart-pending"
    BARRED = "barred"
    COMMITS_WAIT = "commits-wait"
    DATA_DIRECTORY = "data-directory"
    DISARMED = "disarmed"
    KEPT_COPY = "kept-copy"
    LOGICAL_SLOT = "logical-slot"
    LOW_SPACE = "low-space"
    NO_GUARDIAN = "no-guardian"
    NO_LEADER = "no-leader"
    NO_MAJORITY = "no-majority"
    NO_PEACE = "no-peace"
    NO_RESTORE_COMMAND = "no-restore-command"
    NO_STREAM = "no-stream"
    NO_SYNCHRONOUS_STANDBY = "no-synchronous-standby"
    NO_VOTE = "no-vote"
    OLDER_DIRECTORY = "older-directory"
    OTHER_FILE = "other-file"
    PAUSED = "paused"
    RESTART_PENDING = "restart-pending"
    SCHEDULE_REFUSED = "schedule-refused"
    SLEWED = "slewed"
    SLOT_HOLDS_ROWS = "slot-holds-rows"
    SLOT_STRAINED = "slot-strained"
    SLOT_WAITS = "slot-waits"
    SLOW_DISK = "slow-disk"
    STOPPED = "stopped"
    STORE_FILLING = "store-filling"
    STORE_UNREADABLE = "store-unreadable"
    STRANGE_STREAM = "strange-stream"
    SUSPENDED = "suspended"
    UNSAFE_RELEASE = "unsafe-release"
    VOTER_COUNT = "voter-count"
    VOTER_PROBLEM = "voter-problem"
    VOTER_SILENT = "voter-silent"
    VOTE_AWAITED = "vote-awaited"
    WISH_OPEN = "wish-open"
