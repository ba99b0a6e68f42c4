"""What keys mean, by mappings as X servers have them and by any others."""

import random
import struct
import tracemalloc

import pytest

from lucid.sessions.x11_connection import LARGEST_ANSWER
from lucid.sessions.x11_keys import Keymap, character_of, read_keymap

SHIFT, LOCK, CONTROL, MOD2, MOD5 = 1, 2, 4, 16, 128
ROWS = {
    38: (0x61, 0x41, 0x6C6, 0x6E6, 0x100010D, 0x100010C),  # a, A; Cyrillic f; č with AltGr
    10: (0x31, 0x21),
    79: (0xFF95, 0xFFB7),  # the keypad's 7
    50: (0xFFE1,),
    77: (0xFF7F,),
    108: (0xFE03,),
    64: (0xFFE9,),
    36: (0xFF0D,),
}
MODIFIERS = [(50,), (), (), (64,), (77,), (), (), (108,)]
CONTROLS = bytes(92)
KEYMAP = Keymap(ROWS, MODIFIERS)


@pytest.mark.parametrize(
    ("keycode", "modifiers", "group", "name", "text"),
    [
        (38, 0, 0, "a", "a"),
        (38, SHIFT, 0, "A", "A"),
        (38, LOCK, 0, "A", "A"),
        (38, SHIFT | LOCK, 0, "a", "a"),
        (38, 0, 1, "ф", "ф"),
        (38, SHIFT, 1, "Ф", "Ф"),
        (38, MOD5, 0, "č", "č"),
        (38, MOD5 | SHIFT, 0, "Č", "Č"),
        (38, CONTROL, 0, "a", ""),
        (38, 8, 0, "a", ""),
        (10, SHIFT, 0, "!", "!"),
        (10, LOCK, 0, "1", "1"),
        (10, 0, 1, "1", "1"),
        (79, 0, 0, "KP_Home", ""),
        (79, MOD2, 0, "7", "7"),
        (79, MOD2 | SHIFT, 0, "KP_Home", ""),
        (36, 0, 0, "Return", ""),
        (99, SHIFT, 3, "0x0", ""),
        (38, 0, 2, "0x0", ""),
    ],
)
def test_a_key_makes_what_mapping_and_modifiers_say(
    keycode: int, modifiers: int, group: int, name: str, text: str
) -> None:
    made = KEYMAP.stroke(keycode, modifiers, group)
    assert (made.name, made.text) == (name, text)


def test_of_more_layouts_than_a_mapping_tells_nothing_is_guessed() -> None:
    three = Keymap(ROWS, MODIFIERS, groups=3)
    assert [three.stroke(38, 0, group).text for group in range(4)] == ["a", "ф", "", ""]
    assert three.stroke(38, MOD5, 0).text == "", "those columns may be the third layout's"


def test_modifiers_have_the_names_of_their_keys() -> None:
    assert KEYMAP.stroke(38, 0xFF, 0).modifiers == (
        "Shift", "Lock", "Control", "Alt", "NumLock", "Mod3", "Mod4", "AltGr",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("keysym", "character"),
    [
        (0x1B1, "ą"), (0x6C1, "а"), (0x7E1, "α"), (0x7F3, "ς"), (0xCE0, "א"), (0x20AC, "€"), (0x10020AC, "€"),
        (0xFFB5, "5"), (0x13BE, "Ÿ"), (0xFF0D, ""), (0x100D800, ""), (0x1110000, ""), (0, ""),
        (2**32 - 1, ""),
    ],
)  # fmt: skip
def test_keysyms_are_characters_in_their_three_spellings(keysym: int, character: str) -> None:
    assert character_of(keysym) == character


def test_no_answer_of_a_server_keeps_keys_from_having_a_name() -> None:
    chance = random.Random(4711)  # noqa: S311 - the same each time
    for _ in range(500):
        mapping = struct.pack("=2B", 1, chance.randrange(256)) + bytes(30)
        mapping += b"".join(
            struct.pack("=I", chance.choice([0, 0xFF7F, 0xFE03, 0xFFE9, chance.randrange(2**32)]))
            for _ in range(chance.randrange(600))
        )
        modifiers = struct.pack("=2B", 1, chance.randrange(256)) + bytes(30) + chance.randbytes(40)
        keymap = read_keymap(mapping, modifiers, chance.randbytes(92))
        for _ in range(20):
            made = keymap.stroke(chance.randrange(2**32), chance.randrange(256), chance.randrange(256))
            assert 0 < len(made.name) <= 20
            (made.name + made.text).encode()


@pytest.mark.parametrize("each", [1, 8, 255])
def test_a_mapping_of_any_size_takes_no_more_memory_than_its_keys(each: int) -> None:
    mapping = struct.pack("=2B30x", 1, each) + b"\x61\0\0\0" * ((LARGEST_ANSWER - 32) // 4)
    tracemalloc.start()
    try:
        keymap = read_keymap(mapping, struct.pack("=2B30x", 1, 255) + bytes(range(8, 256)) * 8, CONTROLS)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert keymap.stroke(255, 0, 0).text == "a"
