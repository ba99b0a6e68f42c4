"""The hash tree and its proofs, against published vectors and the RFC's recursive definitions."""

import hashlib
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucid.evidence import merkle
from lucid.evidence.errors import ProofError
from lucid.evidence.merkle import EMPTY_ROOT, Tree, leaf_hash, node_hash

# The test data of the Certificate Transparency reference implementations: eight leaves, the root at each
# size, and proofs (transparency-dev/merkle, proof/verify_test.go).
CT_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
CT_ROOTS = [
    bytes.fromhex(text)
    for text in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
_96A2 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
_5F08 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
_6B47 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
_BC1A = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
_CA85 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
_D37E = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"
_FAC5 = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
_6E34 = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
_0EBC = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
_B086 = "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f"
CT_INCLUSION = [
    (0, 1, []),
    (0, 8, [_96A2, _5F08, _6B47]),
    (5, 8, [_BC1A, _CA85, _D37E]),
    (2, 3, [_FAC5]),
    (1, 5, [_6E34, _5F08, _BC1A]),
]
CT_CONSISTENCY = [
    (1, 1, []),
    (1, 8, [_96A2, _5F08, _6B47]),
    (6, 8, [_0EBC, _CA85, _D37E]),
    (2, 5, [_5F08, _BC1A]),
    (6, 7, [_0EBC, _B086, _D37E]),
]

Hashes = list[bytes]


def ct_tree() -> Tree:
    return Tree(leaf_hash(data) for data in CT_LEAVES)


def some_hashes(count: int) -> Hashes:
    return [leaf_hash(number.to_bytes(4, "big")) for number in range(count)]


def recursive_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1, as it stands there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + recursive_root(leaves[:k]) + recursive_root(leaves[k:])).digest()


class TestPublishedVectors:
    def test_roots(self) -> None:
        tree = ct_tree()
        assert [tree.root(size) for size in range(9)] == CT_ROOTS

    @pytest.mark.parametrize(("index", "size", "proof"), CT_INCLUSION)
    def test_inclusion_proofs(self, index: int, size: int, proof: list[str]) -> None:
        hashes = [bytes.fromhex(item) for item in proof]
        assert ct_tree().inclusion_proof(index, size) == hashes
        merkle.verify_inclusion(leaf_hash(CT_LEAVES[index]), index, size, hashes, CT_ROOTS[size])

    @pytest.mark.parametrize(("first", "second", "proof"), CT_CONSISTENCY)
    def test_consistency_proofs(self, first: int, second: int, proof: list[str]) -> None:
        hashes = [bytes.fromhex(item) for item in proof]
        assert ct_tree().consistency_proof(first, second) == hashes
        merkle.verify_consistency(first, second, CT_ROOTS[first], CT_ROOTS[second], hashes)


class TestEveryTreeUpTo33Leaves:
    def test_has_the_root_of_the_recursive_definition(self) -> None:
        hashes = some_hashes(33)
        tree = Tree()
        for size, item in enumerate(hashes, 1):
            tree.append(item)
            assert len(tree) == size
            assert tree.root() == recursive_root(hashes[:size]) == merkle.root(hashes[:size])

    def test_proves_every_leaf_and_no_other_position(self) -> None:
        hashes = some_hashes(33)
        tree = Tree(hashes)
        for size in range(1, 34):
            for index in range(size):
                proof = tree.inclusion_proof(index, size)
                merkle.verify_inclusion(hashes[index], index, size, proof, tree.root(size))
                assert len(proof) <= (size - 1).bit_length()
                for other in {index ^ 1, index + 1, size - 1 - index} - {index}:
                    with pytest.raises(ProofError):
                        merkle.verify_inclusion(hashes[index], other, size, proof, tree.root(size))

    def test_proves_every_earlier_size(self) -> None:
        tree = Tree(some_hashes(33))
        for second in range(34):
            for first in range(second + 1):
                proof = tree.consistency_proof(first, second)
                merkle.verify_consistency(first, second, tree.root(first), tree.root(second), proof)


def corruptions(proof: Hashes) -> list[Hashes]:
    """Longer, shorter, reordered and altered versions of a proof."""
    spare = leaf_hash(b"spare")
    found = [[*proof, spare], [spare, *proof]]
    found += [proof[:n] + proof[n + 1 :] for n in range(len(proof))]
    found += [[*proof[:n], node_hash(proof[n], spare), *proof[n + 1 :]] for n in range(len(proof))]
    found += [proof[::-1]] if proof != proof[::-1] else []
    return found


def must_fail(check: Callable[..., None], *args: object) -> None:
    with pytest.raises(ProofError):
        check(*args)


class TestWrongProofs:
    @given(st.integers(1, 70).flatmap(lambda size: st.tuples(st.integers(0, size - 1), st.just(size))))
    def test_a_corrupt_inclusion_proof_never_holds(self, position: tuple[int, int]) -> None:
        index, size = position
        hashes = some_hashes(size)
        tree = Tree(hashes)
        proof, root = tree.inclusion_proof(index), tree.root()
        for bad in corruptions(proof):
            must_fail(merkle.verify_inclusion, hashes[index], index, size, bad, root)
        must_fail(merkle.verify_inclusion, leaf_hash(b"other"), index, size, proof, root)
        must_fail(merkle.verify_inclusion, hashes[index], index, size, proof, leaf_hash(b"other"))
        must_fail(merkle.verify_inclusion, hashes[index], index, 2 * size, proof, root)

    @given(st.integers(2, 70).flatmap(lambda size: st.tuples(st.integers(1, size - 1), st.just(size))))
    def test_a_corrupt_consistency_proof_never_holds(self, sizes: tuple[int, int]) -> None:
        first, second = sizes
        tree = Tree(some_hashes(second))
        proof = tree.consistency_proof(first)
        old, new = tree.root(first), tree.root()
        for bad in corruptions(proof):
            must_fail(merkle.verify_consistency, first, second, old, new, bad)
        must_fail(merkle.verify_consistency, first, second, leaf_hash(b"x"), new, proof)
        must_fail(merkle.verify_consistency, first, second, old, leaf_hash(b"x"), proof)
        must_fail(merkle.verify_consistency, first, second, new, old, proof)

    def test_trivial_sizes_take_no_proof_and_no_other_root(self) -> None:
        tree = ct_tree()
        merkle.verify_consistency(0, 8, EMPTY_ROOT, tree.root(), [])
        must_fail(merkle.verify_consistency, 0, 8, tree.root(), tree.root(), [])
        must_fail(merkle.verify_consistency, 0, 8, EMPTY_ROOT, tree.root(), [tree.root()])
        must_fail(merkle.verify_consistency, 8, 8, tree.root(), tree.root(), [tree.root()])
        must_fail(merkle.verify_consistency, 8, 8, tree.root(), CT_ROOTS[7], [])
        must_fail(merkle.verify_consistency, 8, 7, tree.root(), CT_ROOTS[7], [])
        must_fail(merkle.verify_consistency, -1, 7, EMPTY_ROOT, CT_ROOTS[7], [])
        must_fail(merkle.verify_consistency, 1, 2, CT_ROOTS[1], CT_ROOTS[2], [])

    def test_hashes_have_32_bytes(self) -> None:
        must_fail(merkle.verify_inclusion, b"short", 0, 1, [], b"short")
        must_fail(merkle.verify_inclusion, CT_ROOTS[1], 0, 0, [], CT_ROOTS[1])
        must_fail(Tree().append, b"short")

    @pytest.mark.parametrize(("index", "size"), [(0, 0), (8, 8), (-1, 8), (0, 9)])
    def test_nothing_is_proven_about_leaves_that_are_not_there(self, index: int, size: int) -> None:
        with pytest.raises(ProofError):
            ct_tree().inclusion_proof(index, size)
        with pytest.raises(ProofError):
            ct_tree().root(size + 9)
        with pytest.raises(ProofError):
            ct_tree().consistency_proof(size + 1, size)


def test_a_leaf_never_passes_for_a_node() -> None:
    left, right = CT_ROOTS[1], CT_ROOTS[2]
    assert leaf_hash(left + right) != node_hash(left, right)
    assert leaf_hash(b"\x01" + left + right) != node_hash(left, right)
