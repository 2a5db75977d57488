"""Settings as typed values: what the file of one node says, and what the whole cluster shares.

`NodeConfig` is read from the node's YAML file and the environment; `DynamicConfig` lives in the
store's `config` key. Both are built by `raftha.config`, which checks them; here are only the types,
the defaults and the arithmetic between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from raftha.instants import RHO, Seconds
from raftha.model.hooks import Hooks
from raftha.model.ids import MemberName, Scope
from raftha.model.logins import Authentication as Authentication
from raftha.model.logins import Credentials as Credentials
from raftha.model.logins import Secret as Secret
from raftha.model.methods import Method


class Address(Struct, frozen=True):
    """A host (name, IPv4 or IPv6, without brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class TlsFiles(Struct, frozen=True, kw_only=True):
    """Paths of a certificate authority, a certificate and its key, all PEM; `password` opens the
    key, where it is encrypted."""

    cafile: Path
    certfile: Path
    keyfile: Path
    password: Secret | None = None


class RaftConfig(Struct, frozen=True, kw_only=True):
    """`raft:` of a node's file. At most one of `key_file` and `tls` is set; with neither, only
    loopback addresses are accepted."""

    self_addr: Address
    bind_addr: Address
    partner_addrs: tuple[Address, ...]
    data_dir: Path
    allow_tmpfs: bool = False
    key_file: Path | None = None
    tls: TlsFiles | None = None

    def followed_by(self, other: RaftConfig) -> RaftConfig:
        """What a running node goes by once it is to go by `other`: all else waits for the next one.
        The password goes with its key: that of another file waits with the file."""
        tls = self.tls
        if tls is None or other.tls is None or tls.keyfile != other.tls.keyfile:
            return self
        return replace(self, tls=replace(tls, password=other.tls.password))


class RaftTimings(Struct, frozen=True, kw_only=True):
    """Timers of the Raft group, in seconds (figures measured: `docs/consensus.md`)."""

    election_min: Seconds = Seconds(0.32)
    election_max: Seconds = Seconds(0.6)
    append_period: Seconds = Seconds(0.1)
    fallback: Seconds = Seconds(0.6)
    ping_period: Seconds = Seconds(0.3)
    dead_after: Seconds = Seconds(1.0)
    connect_timeout: Seconds = Seconds(1.0)
    redial_period: Seconds = Seconds(0.2)


class BasicAuth(Struct, frozen=True, kw_only=True):
    username: str
    password: Secret


class VerifyClient(StrEnum):
    """Who has to show a certificate: nobody, whoever wants to change something without a
    password, everybody."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


class ServerTokens(StrEnum):
    """What the header `Server` tells: product, version, and the version of Python; one of them
    less; the product alone."""

    ORIGINAL = "Original"
    MINIMAL = "Minimal"
    PRODUCT_ONLY = "ProductOnly"


class RestConfig(Struct, frozen=True, kw_only=True):
    """`restapi:` of a node's file. `tls` turns HTTPS on, with `ciphers` of TLS 1.2 where any are
    given. Changes are accepted from the addresses of `allowlist` only, if there is one;
    `authenticate_reads` asks everybody for credentials. `patroni_metrics` says whether `/metrics`
    has Patroni's names too."""

    listen: Address
    connect_address: Address
    authentication: BasicAuth | None = None
    tls: TlsFiles | None = None
    verify_client: VerifyClient = VerifyClient.NONE
    allowlist: tuple[str, ...] = ()
    allowlist_include_members: bool = False
    authenticate_reads: bool = False
    ciphers: str = ""
    http_extra_headers: Mapping[str, str] = field(default_factory=dict)
    https_extra_headers: Mapping[str, str] = field(default_factory=dict)
    server_tokens: ServerTokens = ServerTokens.MINIMAL
    request_queue_size: int = 64
    patroni_metrics: bool = True

    def followed_by(self, other: RestConfig) -> RestConfig:
        """What a running server goes by once it is to go by `other`: the addresses wait for the
        next one. HTTPS does too, where it is turned on or off, and with it whatever says who may
        ask: it was written for the other way of asking."""
        taken = replace(
            other,
            listen=self.listen,
            connect_address=self.connect_address,
            request_queue_size=self.request_queue_size,
        )
        if (self.tls is None) is (other.tls is None):
            return taken
        return replace(
            taken,
            tls=self.tls,
            verify_client=self.verify_client,
            authentication=self.authentication,
            allowlist=self.allowlist,
            allowlist_include_members=self.allowlist_include_members,
            authenticate_reads=self.authenticate_reads,
        )

    @property
    def extra_headers(self) -> tuple[tuple[str, str], ...]:
        """What goes with each answer; over HTTPS both, and the one for HTTPS where they differ."""
        names = {name.lower(): (name, value) for name, value in self.http_extra_headers.items()}
        if self.tls is not None:
            more = self.https_extra_headers.items()
            names |= {name.lower(): (name, value) for name, value in more}
        return tuple(names.values())

    @property
    def is_limited(self) -> bool:
        """Not every address may ask for changes."""
        return bool(self.allowlist) or self.allowlist_include_members

    @property
    def url(self) -> str:
        """Where the others find it."""
        return f"{'https' if self.tls else 'http'}://{self.connect_address}"


class PostgresConfig(Struct, frozen=True, kw_only=True):
    """`postgresql:` of a node's file. `listen_hosts` as PostgreSQL's listen_addresses, `bin_name`
    the other names of programs by PostgreSQL's own."""

    listen_hosts: tuple[str, ...]
    connect_address: Address
    data_dir: Path
    authentication: Authentication
    port: int
    bin_dir: Path | None = None
    bin_name: Mapping[str, str] = field(default_factory=dict)
    proxy_address: Address | None = None
    custom_conf: Path | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    pg_hba: tuple[str, ...] = ()
    pg_ident: tuple[str, ...] = ()
    basebackup: tuple[tuple[str, str | None], ...] = ()
    copy_methods: tuple[Method, ...] = ()
    diverged_wal_keep: int | None = None
    take_over: bool = False
    hooks: Hooks = field(default_factory=Hooks)


class Tags(Struct, frozen=True, kw_only=True):
    """`tags:` of a node's file; `extra` are the user's own, usable in health checks."""

    nofailover: bool = False
    nosync: bool = False
    nostream: bool = False
    noloadbalance: bool = False
    clonefrom: bool = False
    replicatefrom: str = ""
    failover_priority: int = 1
    sync_priority: int = 1
    extra: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    @property
    def against_leading(self) -> str | None:
        """Which tag forbids promotion, in words; None if none does."""
        if self.nostream:
            return "its tags forbid it (nostream: it holds what the archive holds, and no more)"
        if self.nofailover or self.failover_priority <= 0:
            return "its tags forbid it (nofailover, or failover_priority 0)"
        return None

    @property
    def may_lead(self) -> bool:
        """No tag forbids promotion."""
        return self.against_leading is None

    @property
    def may_be_synchronous(self) -> bool:
        """Commits may wait for it: no tag forbids that, and it is to stream from the leader."""
        return not (self.nosync or self.nostream or self.replicatefrom)


class SynchronousMode(StrEnum):
    OFF = "off"
    ON = "on"
    QUORUM = "quorum"


class Profile(StrEnum):
    """Presets for machines and networks; each sets every timing that is not given."""

    FAST = "fast"
    LAN = "lan"
    SLOW = "slow"
    WAN = "wan"


class PermanentSlot(Struct, frozen=True, kw_only=True):
    """An entry of `slots`: a slot that is to outlive a failover. A logical one has both, a plugin
    and a database; a physical one neither."""

    name: str
    plugin: str = ""
    database: str = ""

    @property
    def is_logical(self) -> bool:
        return self.plugin != ""


class SlotType(StrEnum):
    PHYSICAL = "physical"
    LOGICAL = "logical"


class SlotMatcher(Struct, frozen=True, kw_only=True):
    """An entry of `ignore_slots`: it means every slot with all of the properties that it names."""

    name: str | None = None
    type: SlotType | None = None
    database: str | None = None
    plugin: str | None = None

    def fits(self, name: str, plugin: str, database: str) -> bool:
        """The slot has these properties; `plugin` and `database` are empty for a physical one."""
        kind = SlotType.LOGICAL if plugin else SlotType.PHYSICAL
        wanted = (self.name, self.type, self.database, self.plugin)
        return all(
            want in (None, has)
            for want, has in zip(wanted, (name, kind, database, plugin), strict=True)
        )


class DynamicPostgres(Struct, frozen=True, kw_only=True):
    """`postgresql:` of the dynamic configuration: the same on every member."""

    use_slots: bool = True
    use_pg_rewind: bool = True
    parameters: Mapping[str, str] = field(default_factory=dict)
    pg_hba: tuple[str, ...] = ()
    pg_ident: tuple[str, ...] = ()


class DynamicConfig(Struct, frozen=True, kw_only=True):
    """The cluster-wide settings; times in seconds. Defaults are those of profile `lan`."""

    profile: Profile = Profile.LAN
    ttl: Seconds = Seconds(5.0)
    heartbeat: Seconds = Seconds(1.0)
    loop_wait: Seconds = Seconds(1.0)
    retry_timeout: Seconds = Seconds(1.25)
    fence_budget: Seconds = Seconds(0.5)
    primary_health_timeout: Seconds = Seconds(2.5)
    primary_start_timeout: Seconds = Seconds(300.0)
    primary_stop_timeout: Seconds = Seconds(0.0)
    maximum_lag_on_failover: int = 1048576
    maximum_lag_on_syncnode: int = -1
    synchronous_mode: SynchronousMode = SynchronousMode.QUORUM
    synchronous_mode_strict: bool = False
    synchronous_node_count: int = 1
    pause: bool = False
    member_slots_ttl: Seconds = Seconds(1800.0)
    slots: tuple[PermanentSlot, ...] = ()
    ignore_slots: tuple[SlotMatcher, ...] = ()
    postgresql: DynamicPostgres = field(default_factory=DynamicPostgres)

    @property
    def holder_ttl(self) -> Seconds:
        """How long a holder may believe in its lease, counted from the hand-over of a renewal."""
        return Seconds(self.ttl * (1 - RHO))

    @property
    def expiry_ttl(self) -> Seconds:
        """How long anybody else must wait before it proposes the lease's end."""
        return Seconds(self.ttl * (1 + RHO))


class BootstrapConfig(Struct, frozen=True, kw_only=True):
    """`bootstrap:` of a node's file: what the one node that initialises the cluster uses.
    `given_timings` are the settings of `dynamic` that are written there, of those that would
    follow from others."""

    dynamic: DynamicConfig = field(default_factory=DynamicConfig)
    given_timings: frozenset[str] = frozenset()
    initdb: tuple[tuple[str, str | None], ...] = ()
    method: Method | None = None
    post_bootstrap: tuple[str, ...] = ()


class LogConfig(Struct, frozen=True, kw_only=True):
    """`log:` of a node's file. Without `dir` it goes to standard error; `file_size` is in bytes,
    `loggers` are levels of parts of the program, `static_fields` stand in each line."""

    level: str = "INFO"
    format: str = "plain"
    dir: Path | None = None
    file_size: int = 25_000_000
    file_num: int = 4
    loggers: Mapping[str, str] = field(default_factory=dict)
    static_fields: Mapping[str, str] = field(default_factory=dict)


class NodeConfig(Struct, frozen=True, kw_only=True):
    """One node's file, checked. A witness's file has no `postgresql`."""

    scope: Scope
    name: MemberName
    raft: RaftConfig
    restapi: RestConfig
    postgresql: PostgresConfig | None = None
    bootstrap: BootstrapConfig = field(default_factory=BootstrapConfig)
    tags: Tags = field(default_factory=Tags)
    log: LogConfig = field(default_factory=LogConfig)


TIMINGS: Final[Mapping[Profile, RaftTimings]] = {
    Profile.FAST: RaftTimings(
        election_min=Seconds(0.25), election_max=Seconds(0.5), append_period=Seconds(0.08)
    ),
    Profile.LAN: RaftTimings(),
    Profile.SLOW: RaftTimings(
        election_min=Seconds(0.8),
        election_max=Seconds(1.6),
        append_period=Seconds(0.2),
        fallback=Seconds(1.6),
        dead_after=Seconds(2.0),
        connect_timeout=Seconds(2.0),
    ),
    Profile.WAN: RaftTimings(
        election_min=Seconds(1.0),
        election_max=Seconds(2.0),
        append_period=Seconds(0.25),
        fallback=Seconds(2.0),
        dead_after=Seconds(3.0),
        connect_timeout=Seconds(3.0),
        redial_period=Seconds(0.5),
    ),
}
