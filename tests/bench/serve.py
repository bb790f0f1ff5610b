"""One process of a service, on a listening socket that it shares with others: `python3 -m tests.bench.serve ocsp 3`."""

import importlib
import socket
import sys

import uvicorn

service, descriptor = sys.argv[1:]
application = importlib.import_module(f"kepil.pki.web.{service}").create_app()
config = uvicorn.Config(application, log_config=None, access_log=False, server_header=False, proxy_headers=False)
uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(descriptor))])
