"""Forgeries of the file: cut, extended, rearranged, or a tar archive that a tar program would take."""

import io
import tarfile
from functools import partial

from lucid.evidence import archive
from tests.evidence.verifying import CLEAN
from tests.forgeries.forging import Evidence, Forgery, archive_of, members_of, packed

GOOD = CLEAN.bundle()
MEMBERS = members_of(GOOD)
CHUNKS_START = len(CLEAN.bundle(chunks=[])) - len(archive.END)


def patched(fields: dict[int, bytes], data: bytes = b"x") -> bytes:
    """A member whose header is right but for some bytes, at these offsets, and sums up correctly."""
    header = bytearray(archive.member_header("chunks/0/0", len(data)))
    for offset, value in fields.items():
        header[offset : offset + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data + archive.padding(len(data))


def before_the_chunks(member: bytes) -> Evidence:
    return Evidence(GOOD[:CHUNKS_START] + member + GOOD[CHUNKS_START:])


def rewritten(form: int) -> Evidence:
    """The same members, written by another program: every tar program unpacks the same files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, data in MEMBERS:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_700_000_000.5
            tar.addfile(info, io.BytesIO(data))
    return Evidence(out.getvalue())


def moved(first: int, second: int) -> Evidence:
    members = MEMBERS.copy()
    members[first], members[second] = members[second], members[first]
    return Evidence(archive_of(members))


HEADER = r"archive: not a canonical ustar header"
NAME = r"where a chunk was expected"

CUT = tuple(
    Forgery(
        f"file cut off {name}",
        "what is missing could be anything",
        partial(Evidence, GOOD[:size]),
        "archive",
        "archive: cut off",
    )
    for name, size in {
        "to nothing": 0,
        "within its first header": 100,
        "within leaves.jsonl": GOOD.index(CLEAN.parts.leaves[3]) + 20,
        "after its index files": CHUNKS_START,
        "within a chunk": CHUNKS_START + 700,
        "after its last chunk": len(GOOD) - len(archive.END),
        "by one zero block": len(GOOD) - 512,
        "by its last byte": len(GOOD) - 1,
    }.items()
)

ARRANGED = (
    Forgery(
        "a byte after the end",
        "two files with one meaning: hashes and signatures over the file would differ",
        lambda: Evidence(GOOD + b"\0"),
        "archive",
        "after its end",
    ),
    Forgery(
        "a second bundle after the end",
        "tar -i unpacks the second over the first",
        lambda: Evidence(GOOD + GOOD),
        "archive",
        "after its end",
    ),
    Forgery(
        "zero blocks up to a full tar record",
        "harmless, but not the one form; nothing without meaning is let through",
        lambda: Evidence(GOOD + bytes(10240)),
        "archive",
        "after its end",
    ),
    Forgery(
        "data in the padding",
        "a place to smuggle bytes that no hash covers",
        lambda: Evidence(GOOD.replace(b"}" + bytes(100), b"}!" + bytes(99), 1)),
        "archive",
        "padding that is not zero",
    ),
    Forgery(
        "an index file missing",
        "no checkpoint, no cosignatures to fail",
        lambda: Evidence(archive_of(MEMBERS[:3] + MEMBERS[4:])),
        "archive",
        "'checkpoint' was expected",
    ),
    Forgery(
        "an index file twice",
        "one program reads the first, another the second",
        lambda: Evidence(archive_of([*MEMBERS[:8], MEMBERS[7], *MEMBERS[8:]])),
        "archive",
        NAME,
    ),
    Forgery(
        "two index files swapped",
        "the order is part of the format",
        lambda: moved(1, 2),
        "archive",
        r"'genesis\.json' was expected",
    ),
    Forgery(
        "a chunk before the index",
        "a reader in one pass would have nothing to compare it with",
        lambda: moved(7, 8),
        "archive",
        r"'leaves\.jsonl' was expected",
    ),
    Forgery(
        "an index file of 1 TiB in its header",
        "memory is claimed before a byte was checked",
        lambda: Evidence(archive.member_header("lucid-bundle.json", 8**11 - 1)),
        "archive",
        "at most 1024 are allowed",
    ),
    Forgery(
        "a chunk of 8 GiB in its header",
        "no chunk is larger than 16 MiB",
        lambda: Evidence(GOOD[:CHUNKS_START] + archive.member_header("chunks/0/0", 8**11 - 1)),
        "archive",
        "a chunk has at most",
    ),
    Forgery(
        "a file beside the chunks",
        "unpacked beside the evidence it would seem to be part of it",
        lambda: before_the_chunks(packed("README", b"trust me")),
        "archive",
        NAME,
    ),
)

PATHS = tuple(
    Forgery(
        f"archive with the path {path}",
        "unpacking would write outside of its directory, or twice to one place",
        partial(before_the_chunks, packed(path, b"x")),
        "archive",
        NAME,
    )
    for path in (
        "../../../etc/cron.d/x",
        "/etc/cron.d/x",
        "chunks/../../x",
        "chunks/0/../0",
        "./chunks/0/0",
        "chunks//0/0",
        "chunks/0/0/",
        "/chunks/0/0",
        "chunks/0",
        "chunks/00/0",
        "chunks/0/01",
        "chunks/0/-1",
        "chunks/0/0x0",
        "CHUNKS/0/0",
        "chunks\\0\\0",
        "chunks/0/99999999999999999",
    )
)

MODE, UID, MTIME, TYPE, LINK, SPARSE, PREFIX = 100, 108, 136, 156, 157, 386, 345
FOREIGN = tuple(
    Forgery(f"archive with {name}", why, partial(before_the_chunks, member), "archive", HEADER)
    for name, why, member in (
        (
            "a symbolic link",
            "unpacked, the chunk is a file of the auditor's",
            patched({TYPE: b"2", LINK: b"/etc/passwd"}, b""),
        ),
        (
            "a hard link",
            "the same, by another link",
            patched({TYPE: b"1", LINK: b"../../etc/passwd"}, b""),
        ),
        ("a directory", "there are only files", patched({TYPE: b"5"}, b"")),
        ("a device", "unpacked by root it is the disk", patched({TYPE: b"4", 329: b"0000010"}, b"")),
        ("a fifo", "whoever reads it hangs", patched({TYPE: b"6"}, b"")),
        ("a contiguous file", "type 7 is read as a plain file by some", patched({TYPE: b"7"})),
        ("a type of NUL", "the old spelling of a plain file", patched({TYPE: b"\0"})),
        (
            "a pax header",
            "it renames the next member for those who read it",
            patched({TYPE: b"x"}, b"19 path=chunks/9/9\n"),
        ),
        (
            "a global pax header",
            "it holds for all members after it",
            patched({TYPE: b"g"}, b"19 path=chunks/9/9\n"),
        ),
        ("a GNU long name", "a name in front of the name", patched({TYPE: b"L"}, b"x" * 120 + b"\0")),
        ("a GNU long link", "a link in front of the link", patched({TYPE: b"K"}, b"x" * 120 + b"\0")),
        (
            "a GNU sparse file",
            "a byte that unpacks to 8 GiB",
            patched({TYPE: b"S", SPARSE: b"77777777776\x0000000000001\0", 483: b"77777777777\0"}),
        ),
        ("a size in base 256", "a second spelling of the size", patched({124: b"\x80" + bytes(10) + b"\1"})),
        ("a size with spaces", "a third spelling of the size", patched({124: b"          1 "})),
        ("a link name on a plain file", "bytes without meaning", patched({LINK: b"chunks/0/1"})),
        ("a path in two parts", "the prefix is a second place for it", patched({PREFIX: b"elsewhere"})),
        ("bytes after a name's end", "two names in one field", patched({11: b"evil"})),
        ("an owner", "unpacked by root it belongs to somebody", patched({UID: b"0001750"})),
        ("an owner's name", "the same, by name", patched({265: b"ada"})),
        ("a set-user-id mode", "unpacked it runs as its owner", patched({MODE: b"0004755"})),
        ("a time", "there is one form only", patched({MTIME: b"14524770400"})),
        ("another magic", "GNU tar's own dialect", patched({257: b"ustar  \0"})),
        ("a wrong checksum", "a damaged header", b"C" + patched({})[1:]),
        (
            "a non-ASCII name",
            "names compare differently from one disk to the next",
            patched({7: b"\xc3\xa9"}),
        ),
    )
)

REWRITTEN = tuple(
    Forgery(
        f"bundle repacked as {name}",
        "the same files, but no longer the one form; to be made again by the service, not by hand",
        partial(rewritten, form),
        "archive",
        HEADER,
    )
    for name, form in (
        ("ustar", tarfile.USTAR_FORMAT),
        ("GNU tar", tarfile.GNU_FORMAT),
        ("pax", tarfile.PAX_FORMAT),
    )
)

FILES = (*CUT, *ARRANGED, *PATHS, *FOREIGN, *REWRITTEN)
