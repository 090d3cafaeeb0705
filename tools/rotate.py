"""Replaces a channel's root of trust: other keys or thresholds, or the same ones for longer.

Clients that know the old root follow on their own; nobody has to be told. --key names the keys that sign: together
they must reach the thresholds of the role root in both the old and the new root, and they sign again, where it is
needed, what is published already. A role that is not mentioned stays as it is. To revoke a key that is lost or stolen,
rotate to a root without it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import _script

from ossdist.publisher import Publisher
from ossdist.release import layout, model
from ossdist.release.signing import GpgSigner
from ossdist.store.trust_file import read_root

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ROLES = ("root", "channel", "release")
_VALIDITY = timedelta(days=365)


class _Arguments(_script.Arguments):
    channel_dir: Path
    key: list[str]
    gnupghome: Path | None
    validity_days: timedelta
    root_key: list[str] | None
    channel_key: list[str] | None
    release_key: list[str] | None
    root_threshold: int | None
    channel_threshold: int | None
    release_threshold: int | None


def _parse(argv: Sequence[str]) -> _Arguments:
    parser = argparse.ArgumentParser(prog="rotate.py", description=__doc__)
    parser.add_argument("channel_dir", type=_script.folder, metavar="CHANNEL_DIR")
    parser.add_argument("--gnupghome", type=_script.folder, metavar="DIR", help="default: gpg's own")
    parser.add_argument(
        "--validity-days", type=_script.days, default=_VALIDITY, metavar="N", help="of the new root; default: 365"
    )
    for role in _ROLES:
        parser.add_argument(
            f"--{role}-threshold", type=_script.count, metavar="K", help=f"how many keys must sign as {role}"
        )
    repeated = parser.add_argument_group("may be repeated")
    repeated.add_argument(
        "--key", action="append", type=_script.fingerprint, required=True, metavar="FPR", help="signs; old and new ones"
    )
    for role in _ROLES:
        repeated.add_argument(
            f"--{role}-key", action="append", type=_script.fingerprint, metavar="FPR", help=f"of the new role {role}"
        )
    _script.add_json_argument(parser)
    return parser.parse_args(argv, namespace=_Arguments())


def _role(old: model.Role, keys: Sequence[str] | None, threshold: int | None) -> model.Role:
    return model.Role(keys=old.keys if keys is None else tuple(keys), threshold=threshold or old.threshold)


async def _run(args: _Arguments) -> model.Root:
    _, old = read_root(args.channel_dir / layout.ROOT)
    roles = model.Roles(
        root=_role(old.roles.root, args.root_key, args.root_threshold),
        channel=_role(old.roles.channel, args.channel_key, args.channel_threshold),
        release=_role(old.roles.release, args.release_key, args.release_threshold),
    )
    publisher = Publisher(args.channel_dir, signer=GpgSigner(args.gnupghome), keys=args.key)
    return await publisher.rotate(roles, validity=args.validity_days)


def _keys(root: model.Root) -> dict[str, object]:
    roles = {name: {"keys": root.roles.get(name).keys, "threshold": root.roles.get(name).threshold} for name in _ROLES}
    return {"ok": True, "serial": root.serial, "expires": root.expires.isoformat(), "roles": roles}


def _tell(root: model.Root) -> str:
    lines = [f"Root {root.serial} of channel {root.channel} is valid until {root.expires:%Y-%m-%d %H:%M} UTC."]
    for name in _ROLES:
        role = root.roles.get(name)
        lines.append(f"  {name}: {role.threshold} of {', '.join(role.keys)}")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Runs the script and gives its exit code."""
    args = _parse(argv)
    return _script.run(lambda: asyncio.run(_run(args)), as_json=args.json, keys=_keys, tell=_tell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
