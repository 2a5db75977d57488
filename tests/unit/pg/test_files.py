"""What is written into and beside a data directory, in plain directories."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from msgspec.structs import replace

from raftha.clock import SystemClock
from raftha.errors import ConfigError, PostgresError, PostgresUnavailable, Problem
from raftha.model.postgres import Binaries, ServerPlan, ServerRole
from raftha.model.settings import Address, Authentication, Credentials, PostgresConfig, Secret
from raftha.pg import conf, configuration, directory, job
from raftha.pg.instance import Instance
from raftha.pg.layout import Layout
from raftha.pg.probe import FILE_NAME, DiskProbe

STANDBY = ServerPlan(role=ServerRole.STANDBY)
PRIMARY = ServerPlan(role=ServerRole.PRIMARY)


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    data = tmp_path / "data"
    (data / "pg_wal").mkdir(parents=True)
    (data / "postgresql.conf").write_text("work_mem = '4MB' # theirs\n")
    (data / "pg_ident.conf").write_text("theirs a b\n")
    with TemporaryDirectory(prefix="raftha-") as short:  # a socket's path has 107 bytes
        yield Layout(data_dir=data, run_dir=Path(short))


@pytest.fixture
def config(layout: Layout) -> PostgresConfig:
    return PostgresConfig(
        listen_hosts=("127.0.0.1",),
        connect_address=Address("127.0.0.1", 5432),
        data_dir=layout.data_dir,
        authentication=Authentication(
            superuser=Credentials(username="postgres", password=Secret("a")),
            replication=Credentials(username="repl", password=Secret("b")),
            rewind=Credentials(username="rewind"),
        ),
        port=5432,
    )


def apply(layout: Layout, config: PostgresConfig, plan: ServerPlan) -> bool:
    return configuration.apply(layout, config, "demo", plan, None)


def test_the_same_plan_twice_changes_nothing(layout: Layout, config: PostgresConfig) -> None:
    assert apply(layout, config, STANDBY)
    assert not apply(layout, config, STANDBY)


def test_a_directory_says_which_cluster_it_is_part_of(
    layout: Layout, config: PostgresConfig
) -> None:
    """A standby that follows nobody yet changes nothing about it."""

    def found() -> str:
        return directory.inspect(layout, no_programs, SystemClock()).birth

    layout.data_dir.chmod(0o700)
    (layout.data_dir / "PG_VERSION").write_text("15\n")
    apply(layout, config, STANDBY)
    assert found() == ""
    apply(layout, config, replace(PRIMARY, birth="n1@0f3c9a71"))
    assert found() == "n1@0f3c9a71"
    apply(layout, config, STANDBY)
    assert found() == "n1@0f3c9a71"


def test_the_original_configuration_is_kept_once(layout: Layout, config: PostgresConfig) -> None:
    apply(layout, config, STANDBY)
    apply(layout, config, PRIMARY)
    base = layout.data_dir / conf.BASE_CONF
    assert base.read_text() == "work_mem = '4MB' # theirs\n"
    assert conf.BASE_CONF in (layout.data_dir / "postgresql.conf").read_text()
    assert "theirs a b" in (layout.data_dir / conf.IDENT_FILE).read_text()


def test_a_file_of_ones_own_is_included_in_the_place_of_the_original(
    layout: Layout, config: PostgresConfig
) -> None:
    own = replace(config, custom_conf=Path("/etc/it's mine.conf"))
    apply(layout, own, STANDBY)
    included = (layout.data_dir / "postgresql.conf").read_text().splitlines()[1]
    assert included == "include_if_exists = '/etc/it''s mine.conf'"


def test_the_original_is_read_before_and_after_it_was_kept(
    layout: Layout, config: PostgresConfig
) -> None:
    path = layout.data_dir / "postgresql.conf"
    path.write_text("max_connections = 300 # many\n")
    (layout.data_dir / "postgresql.auto.conf").write_text("max_locks_per_transaction = '128'\n")

    before = configuration.original(layout.data_dir)
    apply(layout, config, PRIMARY)

    assert before == configuration.original(layout.data_dir) == {"max_connections": "300"}
    assert configuration.altered(layout.data_dir) == {"max_locks_per_transaction": "128"}
    (layout.data_dir / "postgresql.base.conf").unlink()
    assert configuration.original(layout.data_dir) == {}, "ours is nobody's wish"


def test_no_plan_takes_the_signal_away_by_itself(layout: Layout, config: PostgresConfig) -> None:
    """A promotion that does not find it fails, so it goes only when the server is known to be
    stopped."""
    signal = layout.data_dir / "standby.signal"
    apply(layout, config, STANDBY)
    apply(layout, config, PRIMARY)
    assert signal.exists()
    assert configuration.unmark_standby(layout.data_dir)
    assert not signal.exists()
    assert not configuration.unmark_standby(layout.data_dir)


def test_a_forbidden_parameter_writes_nothing(layout: Layout, config: PostgresConfig) -> None:
    with pytest.raises(ConfigError, match="raftha sets it itself"):
        apply(layout, config, replace(STANDBY, parameters={"port": "1"}))
    assert not (layout.data_dir / "standby.signal").exists()


def test_passwords_are_for_us_alone(layout: Layout, config: PostgresConfig) -> None:
    apply(layout, config, STANDBY)
    assert layout.passfile.stat().st_mode & 0o777 == 0o600
    assert layout.passfile.read_text() == "*:*:*:postgres:a\n*:*:*:repl:b\n"


def test_a_pid_file_counts_only_with_its_process(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file = layout.data_dir / "postmaster.pid"
    assert directory.running_pid(layout.data_dir) is None
    pid_file.write_text(f"{os.getpid()}\n")
    assert directory.running_pid(layout.data_dir) is None
    monkeypatch.chdir(layout.data_dir)
    assert directory.running_pid(layout.data_dir) == os.getpid()
    with pytest.raises(PostgresError, match="still runs"):
        directory.require_stopped(layout.data_dir)


def no_programs(_major: int) -> Binaries:
    raise ConfigError([Problem("bin_dir", "nothing there")])


def test_a_directory_without_its_programs_is_described(layout: Layout) -> None:
    layout.data_dir.chmod(0o700)
    (layout.data_dir / "PG_VERSION").write_text("15\n")
    found = directory.inspect(layout, no_programs, SystemClock())
    assert found.major == 15
    assert "nothing there" in (found.problem or "")


def test_a_finished_copy_replaces_and_keeps_what_was_there(layout: Layout) -> None:
    layout.rewind_marker.write_text("")
    job.begin_copy(layout, SystemClock())
    (layout.copy / "PG_VERSION").write_text("15\n")
    job.finish_copy(layout, layout.diverged("S"))
    assert (layout.data_dir / "PG_VERSION").exists()
    assert (layout.diverged("S") / "postgresql.conf").exists()
    assert not any(path.exists() for path in (layout.copy, layout.copy_marker))
    assert not layout.rewind_marker.exists()


def test_a_confirmed_birth_leaves_no_marker(layout: Layout, config: PostgresConfig) -> None:
    instance = Instance(config, "demo", "n1", layout.run_dir)
    layout.birth_marker.write_text("")
    instance.confirm_birth()
    instance.confirm_birth()
    assert not layout.birth_marker.exists()


def test_a_name_in_use_is_never_written_over(layout: Layout) -> None:
    layout.failed("S").mkdir()
    moved = job.set_aside(layout.data_dir, layout.failed("S"))
    assert moved is not None
    assert moved.name == "data.failed-S-2"


def test_a_half_copy_of_ours_is_removed_and_nobody_elses(layout: Layout) -> None:
    first, second = replace(layout, attempt="S-1"), replace(layout, attempt="S-2")
    theirs = layout.copy.with_name("data.new-of-mine")
    theirs.mkdir()
    job.begin_copy(first, SystemClock())
    (first.copy / "half").write_text("")
    job.begin_copy(second, SystemClock())

    assert list(second.copy.iterdir()) == []
    assert not any(path.exists() for path in (first.copy, first.copy_marker))
    assert theirs.exists()


def test_the_disk_probe_leaves_one_small_file(layout: Layout) -> None:
    probe = DiskProbe(layout.data_dir)
    for _ in range(2):
        probe.start()
        probe.finish(5.0)
    assert (layout.data_dir / "pg_wal" / FILE_NAME).stat().st_size == 4096


def test_a_disk_that_refuses_is_reported(layout: Layout) -> None:
    (layout.data_dir / "pg_wal").rmdir()
    probe = DiskProbe(layout.data_dir)
    probe.start()
    with pytest.raises(PostgresUnavailable, match="refuses writes"):
        probe.finish(5.0)


FULL_DISK = """
import sys
from pathlib import Path
from raftha.pg.probe import write_all
data, filler = Path(sys.argv[1]), Path(sys.argv[1], "pg_wal", "filler")
write_all(data)
try:
    filler.write_bytes(bytes(1 << 20))
except OSError as error:
    print("full:", error.errno)
for _ in range(2):
    try:
        write_all(data)
        print("taken")
    except OSError as error:
        print("refused:", error.errno)
filler.unlink()
write_all(data)
print(sorted(path.name for path in (data / "pg_wal").iterdir()))
"""


def test_a_full_disk_is_noticed_though_the_probe_has_a_block_there(layout: Layout) -> None:
    """On a small disk of its own, in a namespace that gives an ordinary user the right to mount."""
    alone = ("unshare", "--user", "--map-root-user", "--mount")
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this kernel gives no user namespaces to an ordinary user")
    wal = layout.data_dir / "pg_wal"
    mount = f'mount -t tmpfs -o size=256k none {wal} && exec "$@"'
    words = [*alone, "sh", "-c", mount, "sh", sys.executable, "-c", FULL_DISK, layout.data_dir]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run(words, env=paths, capture_output=True, text=True, check=True).stdout
    refused = f"refused: {errno.ENOSPC}"
    assert said.splitlines() == [f"full: {errno.ENOSPC}", refused, refused, f"['{FILE_NAME}']"]
