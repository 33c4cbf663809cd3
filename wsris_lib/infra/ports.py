"""Whether a server can listen where it is asked to."""

import errno
import socket


def check_port(host: str, port: int) -> None:
    """Raises OSError, in one line with the way out, where a port is taken or the host isn't this machine's."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: no wait for an old one
            probe.bind(address)
    except OSError as why:
        reason = "the port is taken" if why.errno == errno.EADDRINUSE else why.strerror
        raise OSError(f"can't serve on {host}:{port}: {reason}; another one: --port {port + 1}, or 0 for any") from None
