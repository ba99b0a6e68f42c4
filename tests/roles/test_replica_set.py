"""What the module lucid_replica_set may change: a set in use is never put at risk."""

from typing import Any, ClassVar

import pytest

from plugins.module_utils.lucid_replica_rules import (
    ACTIONS,
    Refused,
    find_set,
    next_config,
    role_changes,
    role_of,
    user_changes,
)

MEMBERS = ["a:1", "b:1", "c:1"]
NEW: dict[str, Any] = {"isreplicaset": True}
SUFFIX = "OU=services,O=Lucid"
ROLES = [{"db": "lucid", "role": "readWrite"}]


def held(*hosts: str, name: str = "lucid") -> dict[str, Any]:
    """What a member of a set answers."""
    return {"setName": name, "hosts": list(hosts)}


def config(*hosts: str, **settings: int) -> dict[str, Any]:
    """A set's configuration."""
    members = [{"_id": number, "host": host} for number, host in enumerate(hosts)]
    return {"_id": "lucid", "version": 7, "members": members, "settings": settings}


class TestFindingTheSet:
    def test_there_is_none_where_every_member_holds_none(self) -> None:
        assert find_set("lucid", MEMBERS, dict.fromkeys(MEMBERS, NEW)) == []

    def test_none_is_presumed_while_a_member_is_silent(self) -> None:
        with pytest.raises(Refused, match=r"^c:1: mongod cannot be reached, and a set is only initiated"):
            find_set("lucid", MEMBERS, {"a:1": NEW, "b:1": NEW, "c:1": None})

    def test_it_is_found_on_whichever_member_holds_it(self) -> None:
        answers = {"a:1": NEW, "b:1": held("b:1"), "c:1": NEW}
        assert find_set("lucid", MEMBERS, answers) == ["b:1"]

    def test_a_member_of_the_set_may_be_away(self) -> None:
        answers = {"a:1": held(*MEMBERS), "b:1": None, "c:1": held(*MEMBERS)}
        assert find_set("lucid", MEMBERS, answers) == MEMBERS

    def test_a_silent_host_cannot_join(self) -> None:
        with pytest.raises(Refused, match=r"^c:1: mongod cannot be reached, so it cannot join"):
            find_set("lucid", MEMBERS, {"a:1": held("a:1"), "b:1": NEW, "c:1": None})

    def test_another_set_is_not_taken_over(self) -> None:
        with pytest.raises(Refused, match="a:1 belongs to replica set 'other', not to 'lucid'"):
            find_set("lucid", MEMBERS, {"a:1": held("a:1", name="other"), "b:1": NEW, "c:1": NEW})

    def test_two_sets_are_not_joined(self) -> None:
        with pytest.raises(Refused, match="a:1 and b:1 hold two replica sets"):
            find_set("lucid", MEMBERS, {"a:1": held("a:1"), "b:1": held("b:1", "c:1"), "c:1": NEW})

    def test_members_that_are_not_listed_are_not_dropped(self) -> None:
        with pytest.raises(Refused, match=r"not in the inventory: x:1; add them .* or take them out"):
            find_set("lucid", MEMBERS, {"a:1": held("a:1", "x:1"), "b:1": NEW, "c:1": NEW})


class TestConfiguration:
    def test_that_is_as_wanted_is_left_alone(self) -> None:
        settings = {"electionTimeoutMillis": 2}
        assert next_config(config(*MEMBERS, **settings), MEMBERS, settings) is None

    def test_members_join_one_at_a_time_under_numbers_never_used(self) -> None:
        first = next_config(config("b:1"), MEMBERS, {})
        assert first is not None
        assert first["version"] == 8
        assert first["members"] == [{"_id": 0, "host": "b:1"}, {"_id": 1, "host": "a:1"}]
        second = next_config(first, MEMBERS, {})
        assert second is not None
        assert [member["host"] for member in second["members"]] == ["b:1", "a:1", "c:1"]
        assert next_config(second, MEMBERS, {}) is None

    def test_settings_change_without_touching_members_or_other_settings(self) -> None:
        step = next_config(config("a:1", heartbeatIntervalMillis=9), MEMBERS, {"electionTimeoutMillis": 2})
        assert step is not None
        assert step["settings"] == {"heartbeatIntervalMillis": 9, "electionTimeoutMillis": 2}
        assert step["members"] == config("a:1")["members"]


def role(user: dict[str, Any], actions: tuple[str, ...] = ACTIONS) -> dict[str, Any]:
    """As the server shows it."""
    privileges = [
        {"resource": {"db": user["database"], "collection": each}, "actions": list(actions[::-1])}
        for each in user["collections"]
    ]
    return {**role_of(user), "privileges": privileges, "roles": []}


class TestRoles:
    ONE: ClassVar = {"name": "one", "database": "lucid", "collections": ["b", "a"]}
    OTHER: ClassVar = {"name": "other", "database": "lucid", "collections": ["c"]}

    def test_as_wanted_need_nothing_whatever_the_order(self) -> None:
        assert role_changes([role(self.OTHER), role(self.ONE)], [self.ONE, self.OTHER]) == ([], [])

    def test_give_a_user_its_own_collections_and_no_more(self) -> None:
        ((database, command),), dropped = role_changes([], [self.ONE])
        assert (database, command["createRole"], command["roles"], dropped) == ("lucid", "lucid-one", [], [])
        assert [each["resource"] for each in command["privileges"]] == [
            {"db": "lucid", "collection": "a"}, {"db": "lucid", "collection": "b"},
        ]  # fmt: skip
        assert {action for each in command["privileges"] for action in each["actions"]} == set(ACTIONS)

    @pytest.mark.parametrize(
        "changed",
        [
            role({**ONE, "collections": ["a", "b", "c"]}),
            role(ONE, (*ACTIONS, "remove")),
            {**role(ONE), "roles": [{"db": "lucid", "role": "readWrite"}]},
        ],
    )
    def test_that_say_more_or_something_else_are_set_right(self, changed: dict[str, Any]) -> None:
        ((database, command),), dropped = role_changes([changed], [self.ONE])
        assert (database, command["updateRole"], dropped) == ("lucid", "lucid-one", [])

    def test_of_services_that_are_gone_go_after_their_users_and_an_operator_s_stay(self) -> None:
        own = {"db": "lucid", "role": "reader", "privileges": [], "roles": []}
        before, after = role_changes([role(self.ONE), role(self.OTHER), own], [self.ONE])
        assert before == []
        assert [(database, command["dropRole"]) for database, command in after] == [("lucid", "lucid-other")]


class TestUsers:
    def test_as_wanted_need_nothing_whatever_the_order_of_their_roles(self) -> None:
        two = [{"db": "b", "role": "read"}, {"db": "a", "role": "read"}]
        assert user_changes({"CN=x," + SUFFIX: two}, {"CN=x," + SUFFIX: two[::-1]}, SUFFIX) == []

    def test_missing_ones_are_made_and_others_get_the_roles_they_should_have(self) -> None:
        present = {"CN=b," + SUFFIX: [{"db": "admin", "role": "root"}]}
        wanted = {"CN=a," + SUFFIX: ROLES, "CN=b," + SUFFIX: ROLES}
        made, changed = user_changes(present, wanted, SUFFIX)
        assert (made["createUser"], made["roles"]) == ("CN=a," + SUFFIX, ROLES)
        assert (changed["updateUser"], changed["roles"]) == ("CN=b," + SUFFIX, ROLES)

    def test_services_that_are_gone_lose_access_and_people_keep_theirs(self) -> None:
        present = {"CN=gone," + SUFFIX: ROLES, "CN=person,OU=people,O=Lucid": ROLES}
        assert [command["dropUser"] for command in user_changes(present, {}, SUFFIX)] == ["CN=gone," + SUFFIX]
