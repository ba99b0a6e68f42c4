"""Ansible module: all the files and directories of a role at once, where each by itself costs a round trip.

A file is written beside its place, judged by its own command and then moved there: a reader finds what was
before or what is new, whole. All are judged before the first is moved.
"""

import base64
import os
import subprocess
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: lucid_files
short_description: Files and directories of a host, all in one step
description:
  - Brings files to their content, and files and directories to their owner, group and mode.
  - Nothing is written if a file does not pass its validation.
options:
  files:
    description: What there must be, in this order; directories before what is in them.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path on the host.
        type: path
        required: true
      content:
        description: What the file holds. Without it, the path is a directory.
        type: str
      base64:
        description: Whether content is written in base64, as it must be where the file is not text.
        type: bool
        default: false
      owner:
        description: Unix user that owns it.
        type: str
        default: root
      group:
        description: Unix group of it.
        type: str
        default: root
      mode:
        description: Permission bits as octal text. By default 0644 for files, 0755 for directories.
        type: str
      validate:
        description: A command that must accept the file, whose path stands for %s.
        type: str
author: [Lucid]
"""
EXAMPLES = """
- lucid_files:
    files:
      - path: /etc/systemd/journald.conf.d
      - path: /etc/systemd/journald.conf.d/lucid.conf
        content: "{{ lookup('ansible.builtin.template', 'etc/systemd/journald.conf.d/lucid.conf.j2') }}"
"""
RETURN = """
written:
  description: Paths whose content, owner, group or mode was not as it should be.
  type: list
  returned: always
"""
VALIDATION_SECONDS = 60


def main():
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str"},
                    "base64": {"type": "bool", "default": False},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str", "default": "root"},
                    "mode": {"type": "str"},
                    "validate": {"type": "str"},
                },
            }
        },
        supports_check_mode=True,
    )
    files = module.params["files"]
    differing = [file for file in files if file["content"] is not None and not _holds(file)]
    wants_diff = module._diff  # noqa: SLF001 - a module has no other way to ask
    diffs = [_diff(file) for file in differing] if wants_diff else []
    with tempfile.TemporaryDirectory(dir=module.tmpdir) as scratch:
        for file in differing:
            _validate(module, file, Path(scratch))
    written = [file["path"] for file in files if _bring(module, file, file in differing)]
    module.exit_json(changed=bool(written), written=written, diff=diffs)


def _holds(file):
    path = Path(file["path"])
    return path.is_file() and not path.is_symlink() and path.read_bytes() == _content(file)


def _content(file):
    return base64.b64decode(file["content"]) if file["base64"] else file["content"].encode()


def _diff(file):
    path = Path(file["path"])
    before = path.read_text(errors="replace") if path.is_file() else ""
    return {"before": before, "after": file["content"], "before_header": str(path), "after_header": str(path)}


def _validate(module, file, scratch):
    if file["validate"] is None:
        return
    if "%s" not in file["validate"]:
        module.fail_json(msg=f"{file['path']}: `validate` has no %s for the file's path: {file['validate']}")
    # Under its own name: some programs look at it.
    candidate = scratch / Path(file["path"]).name
    candidate.write_bytes(_content(file))
    command = [str(candidate) if word == "%s" else word for word in file["validate"].split()]
    done = subprocess.run(  # noqa: PLW1510 - the status is looked at below
        command, capture_output=True, text=True, timeout=VALIDATION_SECONDS
    )
    candidate.unlink()
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).replace(str(candidate), file["path"])
        module.fail_json(
            msg=f"{file['path']} stays as it was: `{file['validate']}` refuses the new one: {said}"
        )


def _bring(module, file, differs):
    """Whether anything was not as it should be."""
    path, is_directory = Path(file["path"]), file["content"] is None
    if is_directory and os.path.lexists(path) and not path.is_dir():
        module.fail_json(msg=f"{path} must be a directory and is not one; move it away")
    if not is_directory and path.is_dir():
        module.fail_json(msg=f"{path} must be a file and is a directory; move it away")
    made = is_directory and not path.is_dir()
    if module.check_mode and (made or differs):
        return True
    if made:
        path.mkdir(mode=0o700)
    if not differs:
        return _attribute(module, file, path) or made
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as written:
            written.write(_content(file))
            written.flush()
            os.fsync(written.fileno())
        _attribute(module, file, Path(name))  # before anybody can see it under its own name
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return True


def _attribute(module, file, path):
    attributes = {
        "path": str(path),
        "owner": file["owner"],
        "group": file["group"],
        "mode": file["mode"] or ("0755" if file["content"] is None else "0644"),
        "secontext": [None, None, None],
        "attributes": None,
    }
    return module.set_fs_attributes_if_different(attributes, changed=False)


if __name__ == "__main__":
    main()
