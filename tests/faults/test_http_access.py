"""Who may ask over HTTP, changed by reloads, on clusters that go on serving."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import pytest

from raftha.cli.exits import Exit
from tests.integration.asking import ask
from tests.integration.harness import ClusterHarness, Node, Part
from tests.integration.node_support import hang_up, rewrite, wait_until_said
from tests.integration.node_support import raftha as run_alone
from tests.integration.scene import NewCluster, check_quiet, raftha, report, wait_for_sync
from tests.integration.test_tls import TlsHarness

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

OLD: Final = "operator:s3cret"
NEW: Final = "operator:n3wer"
LIMIT_S: Final = 60.0


class Protected(ClusterHarness):
    def options(self, node: Node) -> dict[str, Any]:
        options = super().options(node)
        options["restapi"]["authentication"] = written(OLD)
        return options


def written(user: str) -> dict[str, str]:
    username, password = user.split(":")
    return {"username": username, "password": password}


def post(cluster: ClusterHarness, name: str, user: str | None = None) -> int:
    """The answer to a reload, which shows who may ask."""
    return ask(f"{cluster.url(name)}/reload", {}, user=user, timeout_s=10)[0]


def restapi(cluster: ClusterHarness, name: str, **options: object) -> None:
    """Write it, and have it read by the signal, which needs no password."""
    rewrite(cluster, name, lambda written: written["restapi"].update(options))
    hang_up(cluster, name)


def test_a_new_password_is_rolled_out_by_reloads_and_costs_nothing(
    new_cluster: NewCluster,
) -> None:
    """While one node has the new password and the others the old one, all is seen and there is a
    switchover; only closed reading asks for an order of its own."""
    cluster = new_cluster(ttl=15.0, profile="lan", kind=Protected)
    cluster.start_all()
    primary = cluster.wait_until_whole(LIMIT_S)
    wait_for_sync(cluster)
    first, *rest = (node.name for node in cluster.members())
    before = agents(cluster)

    check_refused_once(cluster, first, rest)
    hang_up(cluster, first)
    cluster.wait_for(lambda: post(cluster, first, NEW) == 202, LIMIT_S, "the new password")
    assert (post(cluster, first, OLD), post(cluster, first)) == (401, 401)
    assert [post(cluster, name, OLD) for name in rest] == [202, 202]
    assert [post(cluster, name, NEW) for name in rest] == [401, 401]
    members = report(cluster)["members"]
    assert all(member["state"] != "no answer" for member in members), members
    heir = next(name for name in cluster.nodes if name != primary)
    asked = {"leader": primary, "candidate": heir}
    user = NEW if heir == first else OLD
    code, done = ask(f"{cluster.url(heir)}/switchover", asked, user=user, timeout_s=35)
    assert (code, done["state"]) == (200, "done"), done
    cluster.wait_until_whole(LIMIT_S)
    wait_for_sync(cluster)

    for name in rest:
        restapi(cluster, name, authentication=written(NEW))
        cluster.wait_for(partial(_takes, cluster, name, NEW), LIMIT_S, f"{name} takes it")
    assert raftha(cluster, Exit.DONE, "reload", "--yes").count("was read again") == 3
    assert agents(cluster) == before, "an agent was started anew"

    check_closed_reading(cluster, first, rest)
    check_quiet(cluster)


def agents(cluster: ClusterHarness) -> dict[str, list[int]]:
    return {n: [p.pid for p in cluster.processes(n, Part.AGENT)] for n in cluster.nodes}


def check_refused_once(cluster: ClusterHarness, first: str, rest: list[str]) -> None:
    """The command shows the password of the file, which the agent does not go by yet."""
    change = {"authentication": written(NEW)}
    rewrite(cluster, first, lambda options: options["restapi"].update(change))
    told = run_alone("reload", "--yes", "-c", cluster.nodes[first].file)
    assert told.returncode == Exit.REFUSED, told.stdout
    assert told.stdout.count("refused (401)") == 1, told.stdout
    assert f"{', '.join([first, *rest])}: http://" in told.stdout
    assert "systemctl reload raftha" in told.stdout


def _takes(cluster: ClusterHarness, name: str, user: str) -> bool:
    return post(cluster, name, user) == 202


def check_closed_reading(cluster: ClusterHarness, first: str, rest: list[str]) -> None:
    """The one case where members that differ do not see one another, and nobody is promoted who may
    lack what another holds: the status tells it, and the password cures it."""
    for name in (first, *rest):
        restapi(cluster, name, authenticate_reads=True)
    for name in (first, *rest):
        cluster.wait_for(partial(_is_closed, cluster, name), LIMIT_S, "closed")
    odd = next(name for name in (first, *rest) if not leads(cluster, name))
    restapi(cluster, odd, authentication=written(OLD))
    cluster.wait_for(partial(_takes, cluster, odd, OLD), LIMIT_S, "the old one again")

    def told() -> str:
        return " ".join(raftha(cluster, Exit.DONE, "status").split())

    cluster.wait_for(lambda: "refused (401): reading needs the name" in told(), LIMIT_S, "told")
    primary = next(name for name in cluster.nodes if leads(cluster, name))
    cluster.kill_agent(primary)
    cluster.kill_postgres(primary)
    others = [name for name in cluster.nodes if name != primary]
    wait_until_said(cluster, odd, "must have told that they hold no more", within_s=LIMIT_S)
    assert not any(leads(cluster, name) for name in others)
    restapi(cluster, odd, authentication=written(NEW))
    cluster.wait_for(lambda: any(leads(cluster, n) for n in others), LIMIT_S, "a successor")
    cluster.start(primary)
    cluster.wait_for(partial(_is_closed, cluster, primary), LIMIT_S, "it is back")
    for name in (first, *rest):
        restapi(cluster, name, authenticate_reads=False)
    cluster.wait_until_whole(LIMIT_S)
    wait_for_sync(cluster)


def _is_closed(cluster: ClusterHarness, name: str) -> bool:
    return ask(f"{cluster.url(name)}/health")[0] == 401


def leads(cluster: ClusterHarness, name: str) -> bool:
    return any(ask(f"{cluster.url(name)}/primary", user=u)[0] == 200 for u in (OLD, NEW))


def test_certificates_and_who_must_show_one_are_changed_by_reloads(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(ttl=15.0, profile="lan", kind=TlsHarness, nodes=2, witnesses=1)
    assert isinstance(cluster, TlsHarness)
    cluster.start_all()
    primary = cluster.wait_until_whole(LIMIT_S)
    shown, bare = cluster.with_certificate(), cluster.context
    for name in cluster.nodes:
        url, folder = f"{cluster.url(name)}/reload", cluster.nodes[name].file.parent
        call = partial(ask, url, {}, timeout_s=10)
        assert call(user=OLD, context=bare)[0] == 403
        assert call(context=shown)[0] == 401
        assert call(user=OLD, context=shown)[0] == 202
        assert ask(f"{cluster.url(name)}/health", context=bare)[0] in (200, 503)

        wrong = {"certfile": str(folder / "no.pem"), "keyfile": str(folder / "no.key")}
        rewrite(cluster, name, lambda options, wrong=wrong: options["restapi"].update(wrong))
        code, told = call(user=OLD, context=shown)
        assert code == 412
        assert all(f"{word} cannot be read" in told["reason"] for word in ("no.pem", "no.key"))

        good = {f"{kind}file": str(folder / f"client.{end}") for kind, end in PAIR}
        restapi(cluster, name, **good, verify_client="required")
        wait_until_said(cluster, name, "changed option=restapi.verify_client", within_s=LIMIT_S)
        cluster.wait_for(
            lambda call=call: call(user=OLD, context=bare)[0] == 0, LIMIT_S, "nobody without one"
        )
        code, told = call(user=OLD, context=shown)
        assert (code, told["waiting"]) == (202, []), told
    check_ctl(cluster, primary)
    cluster.context = shown
    assert check_quiet(cluster) == primary


def check_ctl(cluster: ClusterHarness, name: str) -> None:
    """The command line shows what `ctl` says, and `restapi` only where that says nothing."""
    file, folder = cluster.nodes[name].file, cluster.nodes[name].file.parent
    plain = run_alone("reload", "--yes", "-c", file)
    assert plain.returncode == Exit.DONE, plain.stdout
    person = {"certfile": str(folder / "client.pem"), "keyfile": str(folder / "client.key")}
    for section, code, words in (
        ({**person, "authentication": written(OLD)}, Exit.DONE, "was read again"),
        ({"authentication": written("operator:wrong")}, Exit.REFUSED, "(401)"),
        ({"cacert": str(folder / "client.pem")}, Exit.UNREACHABLE, "certificate"),
        ({"cacert": str(folder / "client.pem"), "insecure": True}, Exit.DONE, "was read again"),
    ):
        rewrite(cluster, name, lambda options, section=section: options.update(ctl=section))
        told = run_alone("reload", "--yes", "-c", file)
        assert (told.returncode, words in told.stdout) == (code, True), (section, told.stdout)
    rewrite(cluster, name, lambda options: options.pop("ctl"))


PAIR: Final = (("cert", "pem"), ("key", "key"))
