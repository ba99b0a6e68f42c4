"""Trust policies: stored as their owners signed them, and shown to nobody else but admins."""

import uuid

from lucid.contracts import rdp_manager as contract
from lucid.evidence import policy as trust
from lucid.evidence.errors import EvidenceError
from lucid.kit.app import Call, Handlers
from lucid.kit.errors import Invalid, NotFound
from lucid.kit.mongo import Document
from lucid.kit.routes import NOTHING, Nothing
from lucid.rdp.clock import now_ms
from lucid.rdp.manager_parts import POLICIES, visible, whose
from lucid.rdp.policy_store import view

handlers = Handlers()


@handlers.on(contract.POLICIES)
async def policies(call: Call, params: contract.PolicyQuery, _: Nothing) -> contract.Policies:
    """Mine; everybody's for admins."""
    owner = whose(call, params.owner)
    before = await _policy(call, params.before) if params.before else None
    found = await call.app[POLICIES].page(owner, params.limit + 1, before)
    page = found[: params.limit]
    more = page[-1]["_id"] if len(found) > params.limit else None
    return contract.Policies(tuple(view(policy) for policy in page), more)


@handlers.on(contract.CREATE_POLICY)
async def create_policy(call: Call, _: Nothing, body: contract.PutPolicy) -> contract.Policy:
    """The account's first policy decides whose key signs all others."""
    signed, now = _signed(body), now_ms()
    await call.app[POLICIES].pin(call.user.sub, signed.owner_key, now)
    policy: Document = {
        "_id": str(uuid.uuid4()),
        "owner": call.user.sub,
        "version": 1,
        "created_ms": now,
        "changed_ms": now,
        **_content(signed, body.envelope),
    }
    await call.app[POLICIES].add(policy)
    return view(policy)


@handlers.on(contract.GET_POLICY)
async def get_policy(call: Call, params: contract.PolicyPath, _: Nothing) -> contract.Policy:
    """One policy."""
    return view(await _policy(call, params.policy))


@handlers.on(contract.UPDATE_POLICY)
async def update_policy(call: Call, params: contract.PolicyPath, body: contract.PutPolicy) -> contract.Policy:
    """What sessions began with they keep: it is written down with each of them."""
    await owned_policy(call, params.policy)
    signed = _signed(body)
    store, owner, now = call.app[POLICIES], call.user.sub, now_ms()
    await store.pin(owner, signed.owner_key, now)
    changes = {**_content(signed, body.envelope), "changed_ms": now}
    return view(await store.replace(params.policy, owner, changes))


@handlers.on(contract.DELETE_POLICY)
async def delete_policy(call: Call, params: contract.PolicyPath, _: Nothing) -> Nothing:
    """Nothing is opened under it any more. The key stays the account's."""
    await call.app[POLICIES].delete(params.policy, call.user.sub)
    return NOTHING


async def owned_policy(call: Call, policy: str) -> Document:
    """The caller's own policy; an admin's view of others' is not enough. Raises NotFound."""
    found = await call.app[POLICIES].get(policy)
    if found["owner"] != call.user.sub:
        raise NotFound(f"there is no policy {policy} of yours")
    return found


async def _policy(call: Call, policy: str) -> Document:
    return visible(call, await call.app[POLICIES].get(policy), "policy")


def _signed(body: contract.PutPolicy) -> trust.TrustPolicy:
    try:
        return trust.verify(body.envelope.encode())
    except (EvidenceError, UnicodeEncodeError) as error:
        raise Invalid(
            f"envelope: {error}; it is to be a trust policy that its owner signed: `lucid policy set`",
            field="envelope",
        ) from None


def _content(signed: trust.TrustPolicy, envelope: str) -> Document:
    return {"name": signed.name, "sha256": trust.digest(signed), "envelope": envelope}
