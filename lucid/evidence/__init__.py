"""Lucid's evidence: formats, proofs and their verification, pure and usable without any Lucid service.

Nothing here opens a file, a socket or a clock; streams, keys and times are handed in. `docs/formats.md`
describes every byte this package writes.
"""
