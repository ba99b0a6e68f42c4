"""Trust policies as rdp-manager keeps them: signed, by one key of each account, shown to few."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lucid.contracts import rdp_manager as contract
from lucid.contracts.rdp_manager import PolicyPath, PutPolicy
from lucid.evidence import policy as trust
from lucid.kit.errors import Code, Conflict, Forbidden, Invalid, Limited, NotFound
from lucid.kit.routes import Access
from lucid.rdp import policy_store
from tests.rdp.manager_site import Person, Site, signed, site

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rdp(
    tmp_path_factory: pytest.TempPathFactory, mongodb_url: str, redis_url: str
) -> AsyncIterator[Site]:
    """A manager; policies need no hosts."""
    directory: Path = tmp_path_factory.mktemp("site")
    async with site(directory, mongodb_url, redis_url, "rdp1") as made:
        yield made


@pytest.fixture
def anna(rdp: Site) -> Person:
    return rdp.person()


class TestAPolicy:
    async def test_is_kept_byte_by_byte_as_it_was_signed(self, anna: Person) -> None:
        envelope = signed(anna.key, "office", clipboard=trust.Clipboard(to_desktop=True))
        stored = await anna.ask(contract.CREATE_POLICY, body=PutPolicy(envelope))
        found = await anna.ask(contract.GET_POLICY, PolicyPath(stored.id))
        assert (found.envelope, found.version, found.name) == (envelope, 1, "office")
        assert found.sha256 == trust.digest(trust.verify(envelope.encode()))

    async def test_counts_its_versions(self, anna: Person) -> None:
        stored = await anna.policy("office")
        changes = [signed(anna.key, f"office {n}") for n in range(4)]
        path = PolicyPath(stored.id)
        await asyncio.gather(*(anna.ask(contract.UPDATE_POLICY, path, PutPolicy(each)) for each in changes))
        found = await anna.ask(contract.GET_POLICY, path)
        assert found.version == 5
        assert found.envelope in changes
        assert found.sha256 == trust.digest(trust.verify(found.envelope.encode()))

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("payload", "Payload"),
            ("}", "} "),
            ('"sig":"', '"sig":"A'),
            ("{", "["),
            ("trust-policy", "manifest"),
        ],
    )
    async def test_that_is_not_as_it_was_signed_is_refused(self, anna: Person, old: str, new: str) -> None:
        text = signed(anna.key).replace(old, new)
        with pytest.raises(Invalid, match="envelope: ") as caught:
            await anna.ask(contract.CREATE_POLICY, body=PutPolicy(text))
        assert caught.value.details["field"] == "envelope"

    async def test_has_a_name_of_its_own_among_those_of_its_owner(self, rdp: Site, anna: Person) -> None:
        first, other = await anna.policy("office"), await anna.policy("home")
        with pytest.raises(Conflict, match="named 'office' already") as caught:
            await anna.policy("office")
        assert caught.value.code is Code.EXISTS
        body = PutPolicy(signed(anna.key, "office"))
        with pytest.raises(Conflict):
            await anna.ask(contract.UPDATE_POLICY, PolicyPath(other.id), body)
        again = await anna.ask(contract.UPDATE_POLICY, PolicyPath(first.id), body)
        assert again.version == 2
        assert (await rdp.person().policy("office")).version == 1

    async def test_is_gone_once_deleted_and_its_name_is_free(self, rdp: Site, anna: Person) -> None:
        stored = await anna.policy("office")
        path = PolicyPath(stored.id)
        for stranger in (rdp.person(), rdp.person(Access.ADMIN)):
            with pytest.raises(NotFound):
                await stranger.ask(contract.DELETE_POLICY, path)
        await anna.ask(contract.DELETE_POLICY, path)
        with pytest.raises(NotFound):
            await anna.ask(contract.GET_POLICY, path)
        with pytest.raises(NotFound):
            await anna.ask(contract.DELETE_POLICY, path)
        with pytest.raises(Conflict):  # the key stays the account's
            await anna.ask(
                contract.CREATE_POLICY, body=PutPolicy(signed(Ed25519PrivateKey.generate(), "office"))
            )
        assert (await anna.policy("office")).version == 1

    async def test_is_one_of_a_limited_number(self, anna: Person, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(policy_store, "MOST", 2)
        await anna.policy("one")
        await anna.policy("two")
        with pytest.raises(Limited):
            await anna.policy("three")


class TestTheKey:
    async def test_of_the_first_policy_is_the_account_s(self, anna: Person) -> None:
        stored = await anna.policy("office")
        body = PutPolicy(signed(Ed25519PrivateKey.generate(), "office"))
        for asked in (
            anna.ask(contract.CREATE_POLICY, body=body),
            anna.ask(contract.UPDATE_POLICY, PolicyPath(stored.id), body),
        ):
            with pytest.raises(Conflict, match=r"copy ~/\.config/lucid/owner\.key") as caught:
                await asked
            assert caught.value.code is Code.CONFLICT
        assert (await anna.ask(contract.GET_POLICY, PolicyPath(stored.id))).version == 1

    async def test_is_one_though_two_first_policies_come_at_once(self, anna: Person) -> None:
        bodies = [PutPolicy(signed(Ed25519PrivateKey.generate(), str(n))) for n in range(6)]
        found = await asyncio.gather(
            *(anna.ask(contract.CREATE_POLICY, body=body) for body in bodies), return_exceptions=True
        )
        assert len([each for each in found if isinstance(each, contract.Policy)]) == 1
        assert len([each for each in found if isinstance(each, Conflict)]) == 5


class TestWhoMay:
    async def test_others_do_not_learn_that_there_is_a_policy(self, rdp: Site, anna: Person) -> None:
        stored, bob = await anna.policy("secret"), rdp.person()
        with pytest.raises(NotFound):
            await bob.ask(contract.GET_POLICY, PolicyPath(stored.id))
        with pytest.raises(NotFound):
            await bob.ask(contract.UPDATE_POLICY, PolicyPath(stored.id), PutPolicy(signed(bob.key)))
        assert (await bob.ask(contract.POLICIES, contract.PolicyQuery())).policies == ()
        with pytest.raises(Forbidden):
            await bob.ask(contract.POLICIES, contract.PolicyQuery(owner=anna.id))

    async def test_admins_see_and_change_nothing(self, rdp: Site, anna: Person) -> None:
        stored, admin = await anna.policy("office"), rdp.person(Access.ADMIN)
        assert await admin.ask(contract.GET_POLICY, PolicyPath(stored.id)) == stored
        page = await admin.ask(contract.POLICIES, contract.PolicyQuery(owner=anna.id))
        assert page.policies == (stored,)
        with pytest.raises(NotFound):
            await admin.ask(contract.UPDATE_POLICY, PolicyPath(stored.id), PutPolicy(stored.envelope))

    async def test_lists_are_pages_that_miss_nothing(self, anna: Person) -> None:
        made = [(await anna.policy(str(n))).id for n in range(5)]
        seen: list[str] = []
        before: str | None = None
        while True:
            page = await anna.ask(contract.POLICIES, contract.PolicyQuery(limit=2, before=before))
            seen += [each.id for each in page.policies]
            if (before := page.next) is None:
                break
        assert sorted(seen) == sorted(made)
        assert len(seen) == 5
