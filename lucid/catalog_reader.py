"""From the catalogue's YAML to values that know their lines, so that an error says where to look."""

import re
from typing import Any, TypeVar

import msgspec
import yaml

T = TypeVar("T")


class CatalogError(Exception):
    """The catalogue is wrong. `line` is 1-based; the message reads `file:line: reason`."""

    def __init__(self, source: str, line: int, reason: str) -> None:
        super().__init__(f"{source}:{line}: {reason}")
        self.line = line


class Reader:
    """Turns YAML nodes into structs, keeping hold of the line that each value stands on."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._keys: dict[yaml.Node, yaml.Node] = {}

    def line(self, node: yaml.Node) -> int:
        """Where a reader would look for `node`: at its key if it has one, else where it begins."""
        return int(self._keys.get(node, node).start_mark.line) + 1

    def fail(self, node: yaml.Node, reason: str) -> CatalogError:
        """The error to raise about `node`."""
        return CatalogError(self.source, self.line(node), reason)

    def mapping(self, node: yaml.Node, what: str) -> dict[str, yaml.Node]:
        """The nodes of a mapping, by name. Raises CatalogError, for a name that comes twice, too."""
        if not isinstance(node, yaml.MappingNode):
            raise self.fail(node, f"{what} must be a mapping of names")
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.fail(key, f"a name in {what} is not plain text")
            if key.value in found:
                raise self.fail(key, f"`{key.value}` is written twice in {what}")
            found[key.value] = value
            self._keys[value] = key
        return found

    def plain(self, node: yaml.Node, what: str) -> Any:
        """The node as dicts, lists and scalars. Raises CatalogError."""
        if isinstance(node, yaml.MappingNode):
            return {k: self.plain(v, what) for k, v in self.mapping(node, what).items()}
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item, what) for item in node.value]
        try:
            return yaml.SafeLoader("").construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise self.fail(node, f"{what}: `{node.value}` is not what it says it is: {error}") from None

    def convert(self, node: yaml.Node, kind: type[T], what: str, extra: dict[str, Any] | None = None) -> T:
        """The node, with `extra` fields, as a `kind`. Raises CatalogError at the field's line."""
        value = self.plain(node, what)
        if extra and isinstance(value, dict):
            value |= extra
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            reason, _, path = str(error).partition(" - at `")
            path = path.rstrip("`")
            unknown = re.search(r"unknown field `(.*)`", reason)
            at = self.find(node, f"{path}.{unknown[1]}" if unknown else path)
            field = path.lstrip("$.")
            raise self.fail(at, f"{what}: {reason}" + (f" (in `{field}`)" if field else "")) from None

    def section(self, node: yaml.Node, kind: type[T], what: str) -> dict[str, T]:
        """All of a mapping as `kind`, by name. Raises CatalogError."""
        found = self.mapping(node, f"{what}s")
        return {name: self.convert(value, kind, f"{what} {name}") for name, value in found.items()}

    def find(self, node: yaml.Node, path: str) -> yaml.Node:
        """The node that a msgspec path such as `$.listen[0].port` points to, or the nearest above it."""
        for part in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path):
            key, index = part
            if key and isinstance(node, yaml.MappingNode):
                node = next((v for k, v in node.value if k.value == key), node)
            elif index and isinstance(node, yaml.SequenceNode) and int(index) < len(node.value):
                node = node.value[int(index)]
        return node
