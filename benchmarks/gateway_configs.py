"""The configurations of nginx and Envoy in `benchmarks.gateway`, as a good operator would write them."""

import os
from pathlib import Path
from typing import Any

from lucid.kit.tokens import AUDIENCE, ISSUER

UPLOAD = "/uploads"
ENDLESS = 10**12
"""A limit that is counted and never met."""
NGINX = """
daemon off; worker_processes 1; pid {directory}/pid; error_log {directory}/errors crit; {user}
events {{ worker_connections 4096; }}
http {{
  default_type application/json; keepalive_requests 1000000000; open_file_cache max=100; sendfile on;
  client_max_body_size 0;
  client_body_temp_path {directory}/a; proxy_temp_path {directory}/b; fastcgi_temp_path {directory}/c;
  uwsgi_temp_path {directory}/d; scgi_temp_path {directory}/e;
  {http}
}}
"""
FILES = """
  access_log off;
  server {{
    listen 127.0.0.1:{port}; root {root};
    location = /auth/revocations {{ try_files /auth/revocations-$arg_after =404; }}
  }}
"""
ASKING = """
  access_log {log};
  limit_req_zone $binary_remote_addr zone=all:1m rate=1000000r/s;
  upstream files {{ server 127.0.0.1:{files}; keepalive 128; keepalive_requests 1000000000; }}
  upstream sink {{ server 127.0.0.1:{sink}; keepalive 128; keepalive_requests 1000000000; }}
  upstream check {{ server 127.0.0.1:{check}; keepalive 128; keepalive_requests 1000000000; }}
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off;
  server {{
    listen 127.0.0.1:{port};
    limit_req zone=all burst=1000000 nodelay;
    auth_request /check;
    location = /check {{
      internal;
      proxy_pass http://check/check/user;
      proxy_pass_request_body off;
      proxy_set_header Connection "";
      proxy_set_header Content-Length "";
      proxy_set_header X-Forwarded-For $remote_addr;
    }}
    location / {{ proxy_pass http://files; }}
    location {upload} {{ proxy_pass http://sink; }}
  }}
"""


def nginx(directory: Path, http: str) -> str:
    """An nginx with its files in `directory`."""
    user = "user root;" if os.geteuid() == 0 else ""
    return NGINX.format(directory=directory, user=user, http=http)


def files(port: int, root: Path) -> str:
    """The service: files below `root`."""
    return FILES.format(port=port, root=root)


def asking(port: int, files_port: int, sink: int, check: int, log: Path) -> str:
    """A gateway that asks auth-proxy at port `check`, and limits."""
    return ASKING.format(port=port, files=files_port, sink=sink, check=check, log=log, upload=UPLOAD)


def envoy(port: int, files_port: int, sink: int, jwks: str, log: Path) -> dict[str, Any]:
    """An Envoy that checks tokens against `jwks`, remembers those that hold, and limits."""
    provider = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "local_jwks": {"inline_string": jwks},
        "forward": True,
        "jwt_cache_config": {"jwt_cache_size": 1000},
    }
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    bucket = {"max_tokens": 10**9, "tokens_per_fill": 10**9, "fill_interval": "1s"}
    filters: dict[str, dict[str, Any]] = {
        "jwt_authn.v3.JwtAuthentication": {
            "providers": {"lucid": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "lucid"}}],
        },
        "local_ratelimit.v3.LocalRateLimit": {
            "stat_prefix": "limits",
            "token_bucket": bucket,
            "filter_enabled": always,
            "filter_enforced": always,
        },
        "router.v3.Router": {},
    }
    routes = [
        {"match": {"prefix": UPLOAD}, "route": {"cluster": "sink"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "files"}},
    ]
    manager = {
        "@type": _type("filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "gateway",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "access_log": [
            {
                "name": "file",
                "typed_config": {"@type": _type("access_loggers.file.v3.FileAccessLog"), "path": str(log)},
            }
        ],
        "http_filters": [
            {"name": name, "typed_config": {"@type": _type(f"filters.http.{name}"), **config}}
            for name, config in filters.items()
        ],
    }
    listener = {
        "name": "gateway",
        "address": _address(port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    clusters = [_cluster("files", files_port), _cluster("sink", sink)]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def _cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _type(name: str) -> str:
    return f"type.googleapis.com/envoy.extensions.{name}"
