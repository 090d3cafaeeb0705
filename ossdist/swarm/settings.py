"""The one place that maps our configuration to libtorrent's settings.

Where a value is not libtorrent's default, the reason stands beside it; the figures are in docs/libtorrent.md.
"""

from __future__ import annotations

import math
import secrets
import string
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import libtorrent as lt

from ossdist.config import Transport

if TYPE_CHECKING:
    from ossdist.config import SwarmConfig

DISK_IO = "posix_disk_io_constructor"
"""Plain reads and writes: the fastest here, in 40 to 55 MB of memory (mmap: the same speed in 1 GB). A wrong name
is accepted silently, hence a constant."""

ALERTS = (
    lt.alert_category.error
    | lt.alert_category.status
    | lt.alert_category.storage
    | lt.alert_category.tracker
    | lt.alert_category.connect
    | lt.alert_category.peer
    | lt.alert_category.ip_block
    | lt.alert_category.piece_progress
)

_PEER_ID_CHARACTERS = string.ascii_letters + string.digits


def new_peer_id() -> bytes:
    """One in Azureus's style (BEP 20): ``OD``, a version, and twelve characters by chance."""
    return b"-OD0001-" + "".join(secrets.choice(_PEER_ID_CHARACTERS) for _ in range(12)).encode()


def session_params(config: SwarmConfig, *, peer_id: bytes = b"") -> lt.session_params:
    """libtorrent's parameters for a session.

    Args:
        config: What the caller wants.
        peer_id: See `new_peer_id`; all torrents of the session have it. If empty each one has its own.
    """
    pack = settings(config)
    if peer_id:
        # Twenty characters of "fingerprint" are the whole peer id; otherwise nobody could tell what it is.
        pack["peer_fingerprint"] = peer_id.decode("ascii")
    params = lt.session_params(pack)
    params.disk_io_constructor = DISK_IO
    return params


def settings(config: SwarmConfig) -> lt.settings_pack:
    """libtorrent's settings for a session."""
    pack: lt.settings_pack = {
        **transport_settings(config.transport, config),
        "user_agent": config.user_agent,
        "listen_interfaces": ",".join(config.listen),
        # A port that is taken is an error and not another port, which nobody would know of.
        "max_retry_port_bind": 0,
        "listen_system_port_fallback": False,
        "outgoing_interfaces": ",".join(config.outgoing),
        "enable_dht": config.dht,
        "dht_bootstrap_nodes": ",".join(config.dht_nodes),
        "enable_lsd": config.lsd,
        "enable_upnp": config.port_mapping,
        "enable_natpmp": config.port_mapping,
        "enable_incoming_utp": True,
        "upload_rate_limit": _limit(math.inf, config.upload_bytes_per_s),
        "download_rate_limit": _limit(math.inf, config.download_bytes_per_s),
        "connections_limit": config.connections,
        "unchoke_slots_limit": config.unchoke_slots,
        "allow_multiple_connections_per_ip": config.same_address_peers,
        "alert_mask": ALERTS,
        "alert_queue_size": config.alert_queue,
        # Dial known peers at once instead of a few a second.
        "connection_speed": 200,
        "smooth_connects": False,
        # A peer given after the start is dialled at the next tick: 0.1 s instead of 0.5 s.
        "tick_interval": 100,
        # TCP only, so nothing has to yield to uTP.
        "mixed_mode_algorithm": int(lt.bandwidth_mixed_algo_t.prefer_tcp),
        "unchoke_interval": 3,
        "optimistic_unchoke_interval": 6,
        "request_queue_time": 1,
        "max_out_request_queue": 200,
        # How many requests we let a peer have open. Transmission asks for no more than we announce here, and sends its
        # requests once a second: 2000 (the default) let it have 50 MB in 5.0 s, 8000 in 4.2 s, 250 in 14.
        "max_allowed_in_request_queue": 8000,
        "max_web_seed_connections": 16,
        # The last count of a source must still be readable when the torrent is complete.
        "close_redundant_connections": False,
        # An unfinished piece is what a crash loses. Begun at random, or while still choked (allowed fast, BEP 6), it
        # would stay unfinished for long.
        "initial_picker_threshold": 0,
        # Both would ask a seed for what other peers have, and in a crowd it sends everything more than once: the first
        # asks a fast peer for dozens of neighbouring pieces in a row, the second asks anybody for the other half of a
        # piece that somebody else has begun to give.
        "whole_pieces_threshold": 0,
        "prioritize_partial_pieces": False,
        # Announce to every tracker: a release names few, and the first may be dead.
        "announce_to_all_trackers": True,
        "announce_to_all_tiers": True,
        # Ours decides about retries; libtorrent's own defaults are too slow for it (docs/libtorrent.md).
        "tracker_receive_timeout": 5,
        "tracker_completion_timeout": 10,
        "peer_connect_timeout": 5,
        # A firewall that drops handshakes must show before a transfer looks elsewhere; a peer answers in a round trip.
        "handshake_timeout": 5,
        # A seed that is restarted must be found again long before a transfer gives up: after 2, 4, 6, ... seconds
        # instead of 60, 120 and then never. (Transmission drops its connections while it checks a new torrent.)
        "min_reconnect_time": 2,
        "max_failcount": 20,
        "urlseed_timeout": 10,
        "urlseed_wait_retry": 5,
        # Torrents are started, stopped and limited by the client alone.
        "active_downloads": -1,
        "active_seeds": -1,
        "active_limit": -1,
    }
    if config.private_network:
        pack |= {
            "dht_restrict_routing_ips": False,
            "dht_restrict_search_ips": False,
            "dht_ignore_dark_internet": False,
            "dht_enforce_node_id": False,
            "dht_prefer_verified_node_ids": False,
            # All nodes of one machine share an address, and five packets a second would block it for minutes.
            "dht_block_ratelimit": 1000,
        }
    return pack


def transport_settings(transport: Transport, config: SwarmConfig) -> lt.settings_pack:
    """libtorrent's settings for dialling peers in one way; what another way has set is set back."""
    utp = transport in {Transport.UTP, Transport.UTP_ENCRYPTED}
    encrypted = transport in {Transport.TCP_ENCRYPTED, Transport.UTP_ENCRYPTED}
    pack: lt.settings_pack = {
        "enable_outgoing_tcp": not utp,
        "enable_outgoing_utp": utp or (config.outgoing_utp and transport is Transport.TCP),
        # Peers who dial us may speak as they like. By default a connection may be encrypted in its handshake alone,
        # and then says in clear text what it is.
        "out_enc_policy": int(lt.enc_policy.pe_forced if encrypted else lt.enc_policy.pe_enabled),
        "in_enc_policy": int(lt.enc_policy.pe_enabled),
        "allowed_enc_level": int(lt.enc_level.pe_rc4 if encrypted else lt.enc_level.pe_both),
        "prefer_rc4": encrypted,
        "proxy_type": int(lt.proxy_type_t.none),
    }
    if transport is Transport.PROXY:
        place = urlsplit(config.proxy)
        named = place.username is not None
        kinds = lt.proxy_type_t
        if place.scheme == "socks5":
            kind = kinds.socks5_pw if named else kinds.socks5
        else:
            kind = kinds.http_pw if named else kinds.http
        pack |= {
            "proxy_type": int(kind),
            "proxy_hostname": place.hostname or "",
            "proxy_port": place.port or 0,
            "proxy_username": unquote(place.username or ""),
            "proxy_password": unquote(place.password or ""),
            "proxy_peer_connections": True,
            "proxy_tracker_connections": True,
            "proxy_hostnames": True,
        }
    return pack


_NEXT_TO_NOTHING = 1
"""libtorrent takes 0 for no limit. At one byte a second a block never gets its turn."""
_MOST = 2**31 - 1


def limit_settings(upload_bytes_per_s: float, download_bytes_per_s: float, config: SwarmConfig) -> lt.settings_pack:
    """libtorrent's settings for rate limits: infinite for none, 0 for nothing at all."""
    return {
        "upload_rate_limit": _limit(upload_bytes_per_s, config.upload_bytes_per_s),
        "download_rate_limit": _limit(download_bytes_per_s, config.download_bytes_per_s),
        # Who is never sent anything should not be let ask.
        "unchoke_slots_limit": config.unchoke_slots if upload_bytes_per_s > 0 else 0,
    }


def _limit(wanted: float, configured: int) -> int:
    limits = [limit for limit in (wanted, configured or math.inf) if not math.isinf(limit)]
    return min(max(_NEXT_TO_NOTHING, int(min(limits))), _MOST) if limits else 0


def everybody_is_global() -> lt.ip_filter:
    """A peer-class filter under which limits and unchoke slots hold for every peer.

    By default libtorrent puts peers of the local network into a class of their own, which ignores both.
    """
    only_global = 1 << 0  # session::global_peer_class_id
    classes = lt.ip_filter()
    classes.add_rule("0.0.0.0", "255.255.255.255", only_global)  # noqa: S104 - a range, not an interface
    classes.add_rule("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", only_global)
    return classes
