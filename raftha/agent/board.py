"""What the parts of a member show one another. Each field has one writer, named beside it; all
values are immutable, so that whoever reads sees one moment, not a mixture.
"""

from __future__ import annotations

import threading

from msgspec import Struct, field

from raftha import __version__
from raftha.ha.memory import Memory
from raftha.instants import Instant
from raftha.model.hooks import Hooks
from raftha.model.postgres import Kept, ServerStatus
from raftha.model.restarting import ServerWish
from raftha.model.settings import Address, NodeConfig, PostgresConfig
from raftha.model.view import GuardianView, Identity, StreamCut
from raftha.pg.slots import slot_name


class Sample(Struct, frozen=True, kw_only=True):
    """The last answers of the server process `process`, first seen at `appeared`, and at `answered`
    when it first took a question. `asked` is when the last one was put: what `status` says held
    after that. `probed` is when it was last seen fit to serve; `problem` is why the last question
    failed, if it did."""

    process: str = ""
    appeared: Instant | None = None
    answered: Instant | None = None
    status: ServerStatus | None = None
    asked: Instant | None = None
    probed: Instant | None = None
    problem: str = ""


class Board(Struct, kw_only=True):
    """Published values, and bells: `wake` and `glance` for the loop, `look` for the observer."""

    config: NodeConfig  # main, at a reload
    postgres: PostgresConfig  # main, at the start and at a reload
    last_tick: Instant  # loop
    memory: Memory = field(default_factory=Memory)  # loop
    guardian: GuardianView = field(default_factory=lambda: GuardianView(alive=False))  # lookout
    sample: Sample = field(default_factory=Sample)  # observer
    cut: StreamCut | None = None  # loop
    wish: ServerWish | None = None  # wishes, under their lock
    kept: tuple[Kept, ...] = ()  # kept
    woken: threading.Event = field(default_factory=threading.Event)
    hurried: threading.Event = field(default_factory=threading.Event)
    looked_for: threading.Event = field(default_factory=threading.Event)
    reloaded: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)

    def wake(self) -> None:
        """Something happened: the loop looks now, and again soon."""
        self.hurried.set()
        self.woken.set()

    def glance(self) -> None:
        """What happens all the time has happened: the loop looks now, and goes on resting."""
        self.woken.set()

    def look(self) -> None:
        """PostgreSQL is about to change: the observer looks now."""
        self.looked_for.set()

    def publish_kept(self, found: tuple[Kept, ...]) -> None:
        """What lies beside the data directory now."""
        self.kept = found
        self.wake()

    def process(self) -> str:
        """The server process that runs now, empty if none does."""
        return self.guardian.process if self.guardian.running else ""

    def identity(self) -> Identity:
        """How this node announces itself."""
        config = self.config
        postgres = config.postgresql or self.postgres
        return Identity(
            name=config.name,
            slot=slot_name(config.name),
            postgres=postgres.connect_address,
            api_url=config.restapi.url,
            raft=str(config.raft.self_addr),
            agent_version=__version__,
            proxy_url=_url(postgres.proxy_address),
            tags=config.tags,
            parameters=postgres.parameters,
            pg_hba=postgres.pg_hba,
            pg_ident=postgres.pg_ident,
            bootstrap=config.bootstrap.dynamic,
            given_timings=config.bootstrap.given_timings,
            pre_promote=bool(postgres.hooks.pre_promote),
            post_bootstrap=bool(config.bootstrap.post_bootstrap),
            copies_alone=any(method.no_leader for method in self.postgres.copy_methods),
        )

    def hooks(self) -> Hooks:
        """The programs that the file names now."""
        return (self.config.postgresql or self.postgres).hooks


def _url(proxy: Address | None) -> str:
    """As Patroni writes it."""
    return "" if proxy is None else f"postgres://{proxy}/postgres"
