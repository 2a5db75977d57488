"""The tree of the members: who streams from whom."""

from __future__ import annotations

from msgspec.structs import replace

from raftha.api.listing import cluster_document
from raftha.cli.render import PLAIN_WIDTH, topology
from raftha.cli.show import flattened
from raftha.cli.topology import document
from raftha.model.report import ClusterReport, ReportedRole
from tests.unit.api.fake_cluster import cluster_report


def below(**upstreams: str) -> ClusterReport:
    """A cluster led by n1, with the members as standbys of those."""
    report = cluster_report()
    members = tuple(
        replace(m, upstream=upstreams[m.name], role=ReportedRole.STANDBY)
        if m.name in upstreams
        else m
        for m in report.members
    )
    return replace(report, members=members)


def tree(report: ClusterReport) -> list[str]:
    """The first column, below its heading."""
    lines = topology(report, PLAIN_WIDTH, colour=False).splitlines()[2:]
    width = lines[0].index("address")
    return [line[:width].rstrip() for line in lines[1:]]


def test_a_standby_stands_below_the_one_that_it_streams_from() -> None:
    assert tree(below(n3="n2")) == ["n1", "+ n2", "  + n3"]
    assert tree(below(n3="n1")) == ["n1", "+ n2", "+ n3"]
    assert tree(below(n3="gone")) == ["n1", "+ n2", "+ n3"]


def test_answers_of_different_moments_that_name_a_circle_lose_nobody() -> None:
    assert tree(below(n3="n2", n2="n3")) == ["n1", "+ n2", "+ n3"]
    assert tree(below(n2="n2")) == ["n1", "+ n2", "+ n3"]


def test_programs_get_a_tree_as_deep_as_it_is() -> None:
    report = below(n3="n2")

    told = document(report, cluster_document(report))

    (top,) = told["members"]
    assert [m["name"] for m in top["standbys"]] == ["n2"]
    assert [m["name"] for m in top["standbys"][0]["standbys"]] == ["n3"]
    assert [row["name"] for row in flattened(told["members"])] == ["n1", "n2", "n3"]
