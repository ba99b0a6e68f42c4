"""What a key means: from its code, by the server's keyboard mapping and the modifiers, to a character.

Source: X Window System Protocol, version 11, section 5 (keyboards) and appendix A (keysyms). A mapping lists
for each key code: two levels of the first group, two of the second, then the third and fourth levels of each.
Third and fourth groups have no certain place in it: what is typed in them is left unsaid, not guessed.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

FIRST_KEYCODE, KEYCODES = 8, 248
_NO_SYMBOL = 0
_GROUPS_TOLD = 2
_LEVELS = 8
"""Of a key, those of two groups. A mapping may have up to 255, which nobody looks at."""

SHIFT, LOCK = 1, 2
MODIFIERS = ("Shift", "Lock", "Control", "Mod1", "Mod2", "Mod3", "Mod4", "Mod5")

_NUM_LOCK, _LEVEL3 = 0xFF7F, 0xFE03
_MEANT = {
    0xFFE9: "Alt", 0xFFEA: "Alt", 0xFFE7: "Meta", 0xFFE8: "Meta", 0xFFEB: "Super", 0xFFEC: "Super",
    0xFFED: "Hyper", 0xFFEE: "Hyper", _NUM_LOCK: "NumLock", _LEVEL3: "AltGr",
}  # fmt: skip
_SILENT = {"Control", "Alt", "Meta", "Super", "Hyper"}
"""With one of these a key is a command: it types nothing."""

_NAMES = {
    0xFF08: "BackSpace", 0xFF09: "Tab", 0xFF0A: "Linefeed", 0xFF0D: "Return", 0xFF13: "Pause",
    0xFF14: "Scroll_Lock", 0xFF1B: "Escape", 0xFF20: "Multi_key", 0xFF50: "Home", 0xFF51: "Left",
    0xFF52: "Up", 0xFF53: "Right", 0xFF54: "Down", 0xFF55: "Page_Up", 0xFF56: "Page_Down", 0xFF57: "End",
    0xFF61: "Print", 0xFF63: "Insert", 0xFF67: "Menu", 0xFF7E: "Mode_switch", _NUM_LOCK: "Num_Lock",
    0xFF8D: "KP_Enter", 0xFF95: "KP_Home", 0xFF96: "KP_Left", 0xFF97: "KP_Up", 0xFF98: "KP_Right",
    0xFF99: "KP_Down", 0xFF9A: "KP_Page_Up", 0xFF9B: "KP_Page_Down", 0xFF9C: "KP_End", 0xFF9D: "KP_Begin",
    0xFF9E: "KP_Insert", 0xFF9F: "KP_Delete", 0xFFE1: "Shift_L", 0xFFE2: "Shift_R", 0xFFE3: "Control_L",
    0xFFE4: "Control_R", 0xFFE5: "Caps_Lock", 0xFFE6: "Shift_Lock", 0xFFE7: "Meta_L", 0xFFE8: "Meta_R",
    0xFFE9: "Alt_L", 0xFFEA: "Alt_R", 0xFFEB: "Super_L", 0xFFEC: "Super_R", 0xFFED: "Hyper_L",
    0xFFEE: "Hyper_R", 0xFFFF: "Delete", _LEVEL3: "ISO_Level3_Shift", 0xFE20: "ISO_Left_Tab",
    0xFE50: "dead_grave", 0xFE51: "dead_acute", 0xFE52: "dead_circumflex", 0xFE53: "dead_tilde",
    0xFE54: "dead_macron", 0xFE55: "dead_breve", 0xFE56: "dead_abovedot", 0xFE57: "dead_diaeresis",
    0xFE58: "dead_abovering", 0xFE59: "dead_doubleacute", 0xFE5A: "dead_caron", 0xFE5B: "dead_cedilla",
    0xFE5C: "dead_ogonek",
} | {0xFFBE + number: f"F{number + 1}" for number in range(24)}  # fmt: skip

# Keysyms older than Unicode are bytes of a character set; the byte before says of which.
_SETS = {
    0x1: "iso8859_2", 0x2: "iso8859_3", 0x3: "iso8859_4", 0x5: "iso8859_6", 0x6: "koi8_r",
    0x7: "iso8859_7", 0xC: "iso8859_8", 0xD: "tis_620",
}  # fmt: skip
_GREEK_SIGMAS = {0x7D2: "\u03a3", 0x7F2: "\u03c3", 0x7F3: "\u03c2"}  # not where ISO 8859-7 has them
_MORE = {0x13BC: "\u0152", 0x13BD: "\u0153", 0x13BE: "\u0178", **_GREEK_SIGMAS}


class Stroke(NamedTuple):
    """What a key made. ``name`` is its character, or X's name for it, or its number in hexadecimal.

    ``text`` is what was typed with it, if that is a character; empty otherwise.
    """

    keysym: int
    name: str
    text: str
    modifiers: tuple[str, ...]


class Keymap:
    """The server's mapping. Both tables may be anything: what they do not say has no meaning here."""

    def __init__(
        self, keysyms: Mapping[int, Sequence[int]], modifiers: Sequence[Sequence[int]], groups: int = 1
    ) -> None:
        """`keysyms` by key code; `modifiers` are the key codes of each of the eight, in their order.

        `groups` is how many layouts the keyboard has, 1 to 4.
        """
        self._keysyms = keysyms
        self._groups = groups
        self._names = list(MODIFIERS)
        self._num_lock = self._level3 = 0
        for bit, codes in enumerate(modifiers[:8]):
            for keysym in (keysym for code in codes for keysym in keysyms.get(code, ())):
                self._num_lock |= (keysym == _NUM_LOCK) << bit
                self._level3 |= (keysym == _LEVEL3) << bit
                if bit > 2 and self._names[bit] == MODIFIERS[bit] and keysym in _MEANT:
                    self._names[bit] = _MEANT[keysym]

    def stroke(self, keycode: int, modifiers: int, group: int) -> Stroke:
        """What the key makes with these modifiers (a mask) in this group, which counts from 0."""
        keysym = self._keysym(self._keysyms.get(keycode, ()), modifiers, group)
        character = character_of(keysym)
        held = tuple(name for bit, name in enumerate(self._names) if modifiers >> bit & 1)
        return Stroke(
            keysym,
            character or _NAMES.get(keysym, f"0x{keysym:x}"),
            "" if _SILENT & set(held) else character,
            held,
        )

    def _keysym(self, row: Sequence[int], modifiers: int, group: int) -> int:
        if group > 1 or (self._groups > _GROUPS_TOLD and modifiers & self._level3):
            return _NO_SYMBOL
        levels = [*row[:_LEVELS], *[0] * (_LEVELS - len(row))]
        begin = 2 if group and any(levels[2:4]) else 0
        if modifiers & self._level3 and any(levels[begin + 4 : begin + 6]):
            begin += 4
        first, second = levels[begin], levels[begin + 1]
        second = second or upper(first)
        shift, caps = bool(modifiers & SHIFT), bool(modifiers & LOCK)
        if modifiers & self._num_lock and 0xFF80 <= second <= 0xFFBD:
            return first if shift else second
        found = second if shift else first
        if caps and upper(first) == second != first:  # a letter: both together undo each other, as XKB has it
            return first if shift else second
        return found


def read_keymap(mapping: bytes, modifiers: bytes, controls: bytes) -> Keymap:
    """The answers to GetKeyboardMapping, from FIRST_KEYCODE on, GetModifierMapping and XkbGetControls."""
    each = mapping[1]
    told = (len(mapping) - 32) // 4 // each if each else 0
    rows = {
        FIRST_KEYCODE + number: struct.unpack_from(f"={min(each, _LEVELS)}I", mapping, 32 + 4 * each * number)
        for number in range(min(KEYCODES, told))
    }
    several = modifiers[1]
    codes = modifiers[32:]
    return Keymap(rows, [codes[several * bit : several * (bit + 1)] for bit in range(8)], controls[9])


def character_of(keysym: int) -> str:
    """The character that a keysym stands for; empty if none."""
    if keysym in _MORE:
        return _MORE[keysym]
    if 0x20 <= keysym <= 0x7E or 0xA0 <= keysym <= 0xFF or 0x20A0 <= keysym <= 0x20AF:
        return chr(keysym)
    if 0x100_0100 <= keysym <= 0x110_FFFF and not 0xD800 <= keysym & 0xFFFFFF <= 0xDFFF:
        return chr(keysym & 0xFFFFFF)
    if 0xFFAA <= keysym <= 0xFFB9 or keysym == 0xFFBD:  # the keypad's
        return chr(keysym & 0x7F)
    codec = _SETS.get(keysym >> 8)
    return bytes([keysym & 0xFF]).decode(codec, "ignore") if codec and keysym & 0xFF >= 0xA0 else ""


def upper(keysym: int) -> int:
    """The capital letter's keysym; the same one if it has none."""
    character = character_of(keysym)
    capital = character.upper()
    if len(capital) != 1 or capital == character:
        return keysym
    return ord(capital) if ord(capital) < 0x100 else 0x100_0000 + ord(capital)
