"""Whether two sets of voters are of one cluster, and which of two generations is over (PURE)."""

from __future__ import annotations

from raftha.consensus.configuration import Configuration
from raftha.consensus.greeting import Grounds, Refusal


def refusal(ours: Configuration, theirs: Configuration, *, certain: bool) -> Refusal | None:
    """The side that the cluster was recovered without is told so by the other. At a birth several
    raft leaders may write a first set of voters, of which one is committed: these have a voter
    in common, for a majority met both, and are not both committed for certain. After a restart
    nobody is certain, and what another cluster committed must not be overwritten."""
    if theirs.generation < ours.generation:
        return left_behind(ours)
    is_apart = certain or not ours.shares_voter(theirs)
    if is_apart and theirs.generation == ours.generation and theirs.lineage != ours.lineage:
        if ours.generation > 0:
            return Refusal(
                "it was recovered apart from this node, and two clusters of one scope must not "
                "live: stop one of the two for good, and empty its Raft directories"
            )
        return Refusal(
            "it belongs to a cluster of the same scope that was born apart from this one: "
            "give one of the two another scope"
        )
    return None


def left_behind(ours: Configuration) -> Refusal:
    """What a node is told whose past ended with a recovery."""
    return Refusal(
        f"the cluster was recovered without this node (generation {ours.generation})",
        Grounds.RECOVERED,
    )
