"""The PKI services over HTTP, as ASGI applications behind nginx."""
