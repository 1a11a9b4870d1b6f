"""HAProxy and nginx as the edge stands: one address in front of three endpoints that are one upstream, the less loaded of two
drawn, connections kept on both sides, an id and who asks written into each request, no log of each. One worker."""
import os
import socket
import subprocess
import tempfile
from pathlib import Path

from conftest import until
from counted import ENDPOINTS
from project import free_port  # pylint: disable=wrong-import-order
from readers import LIBRARIES, program  # pylint: disable=wrong-import-order

HAPROXY = """global
    nbthread 1
    maxconn 4096
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout http-request 10s
    option forwardfor
    http-reuse always
    unique-id-format %[rand,hex]%[rand,hex]%[rand,hex]%[rand,hex]
    unique-id-header X-Request-Id
frontend in
    bind 127.0.0.1:FRONT
    http-response set-header X-Request-Id %[unique-id]
    default_backend out
backend out
    balance random(2)
SERVERS
"""
NGINX = """daemon off;
user root;
master_process off;
worker_processes 1;
pid FOLDER/pid;
error_log stderr;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    keepalive_requests 1000000000;
    upstream out {
        random two least_conn;
SERVERS
        keepalive 256;
        keepalive_requests 1000000000;
    }
    server {
        listen 127.0.0.1:FRONT;
        location / {
            proxy_pass http://out;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Request-Id $request_id;
            add_header X-Request-Id $request_id;
        }
    }
}
"""
CONFIGS = {"haproxy": (HAPROXY, "    server s{number} 127.0.0.1:{port}", ["-db", "-f"]),
           "nginx": (NGINX, "        server 127.0.0.1:{port}; # {number}", ["-e", "stderr", "-c"])}


class Peer:
    """In a session of its own, as all that are compared."""

    def __init__(self, name, upstream):
        self.folder = tempfile.TemporaryDirectory(prefix="thole-bench-", dir="/dev/shm")
        config, server, words = CONFIGS[name]
        self.port = free_port()
        servers = "\n".join(server.format(number=number, port=upstream.port) for number in range(ENDPOINTS))
        path = Path(self.folder.name) / "config"
        path.write_text(config.replace("FOLDER", self.folder.name).replace("FRONT", str(self.port))
                        .replace("SERVERS", servers), encoding="utf-8")
        self.log = path.with_name("log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([program(name), *words, str(path)], cwd=self.folder.name, stdout=log,
                                            stderr=log, env=dict(os.environ, **LIBRARIES), start_new_session=True)
        until(self.is_there, f"{name} listens")

    def is_there(self):
        assert self.process.poll() is None, self.log.read_text(encoding="utf-8")
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True

    @property
    def pid(self):
        return self.process.pid

    def close(self):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()
