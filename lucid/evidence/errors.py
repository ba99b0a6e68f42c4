"""What can be wrong with evidence.

EvidenceError
├── FormatError         bytes that are not exactly the format they claim to be
├── ProofError          a Merkle proof that does not lead to the root
├── SignatureError      a signature that is not by the key it must be by
├── SealError           a sealed chunk or a wrapped key that this key does not open
└── VerificationError   parts that are well formed but contradict each other or the trust file
"""


class EvidenceError(Exception):
    """Base of every error of this package. The text is written for whoever checks the evidence."""


class FormatError(EvidenceError):
    """`field` names the part that is wrong, `problem` says how."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class ProofError(EvidenceError):
    """An inclusion or consistency proof does not hold."""


class SignatureError(EvidenceError):
    """A signature is missing, is by another key, or does not cover these bytes."""


class SealError(EvidenceError):
    """A sealed chunk or a wrapped session key cannot be opened, or opens to something else."""


class VerificationError(EvidenceError):
    """Two parts of the evidence contradict each other, or what the verifier was told to trust."""
